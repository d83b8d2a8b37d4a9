// Says on the page why a request was refused: Optuna Dashboard only says that something failed.
(() => {
  const SECONDS = 10;

  const show = (reason) => {
    const bar = document.getElementById("autoaug-refused") ?? document.createElement("div");
    bar.id = "autoaug-refused";
    bar.setAttribute("role", "alert");
    bar.textContent = reason;
    document.body.append(bar);
    clearTimeout(bar.timer);
    bar.timer = setTimeout(() => bar.remove(), 1000 * SECONDS);
  };

  const reasonOf = (answer) => (typeof answer === "string" ? JSON.parse(answer) : answer).reason;

  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...given) {
    this.addEventListener("load", () => {
      if (this.status === 403) show(reasonOf(this.response));
    });
    return send.apply(this, given);
  };
})();
