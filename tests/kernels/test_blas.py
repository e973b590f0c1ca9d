"""BLAS has one thread inside, and as many as before outside."""

from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import threadpool_info, threadpool_limits

from cfens_stack import CFEnsemble
from cfens_stack.datasets import make_predictions


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def watched(seen):
    def watch(R, y):
        seen.append(set(blas_threads()))
        return 1.0 + 0.0 * R

    return CFEnsemble(confidence=watch)


def test_a_fit_and_a_prediction_run_on_one_thread_and_restore():
    data, seen = make_predictions(300, 5, random_state=0), []
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        watched(seen).fit(data.R, data.y).predict_proba(data.R)
        assert blas_threads() == before
    assert len(seen) >= 2
    assert all(threads == {1} for threads in seen)


def test_fits_in_several_threads_leave_the_limit_alone():
    data, seen = make_predictions(300, 5, random_state=0), []
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: watched(seen).fit(data.R, data.y), range(8)))
        assert blas_threads() == before
    assert all(threads == set(before) for threads in seen)
