// A browser without a mathematical font leaves subscripts on the line; equations.css then lowers them.
document.addEventListener("DOMContentLoaded", () => {
  const probe = document.createElement("div");
  probe.innerHTML = "<math><msub><mi>x</mi><mi>x</mi></msub></math>";
  document.body.append(probe);
  const [letter, index] = probe.querySelector("msub").children;
  const lowered = index.getBoundingClientRect().bottom - letter.getBoundingClientRect().bottom;
  document.documentElement.classList.toggle("no-math-font", lowered < 1);
  probe.remove();
});
