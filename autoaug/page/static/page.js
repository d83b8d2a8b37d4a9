// Keeps a page up to date without reloading it, and draws figures when they come into view. The page works without.
(() => {
  const SECONDS = 3;
  const PATIENCE_SECONDS = 10;
  const NEAR = "400px";
  const HEIGHT = 450;
  const FEW_BUTTONS = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetScale2d"]] };

  const away = document.getElementById("away");
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Figures come transparent and without colours of their own for text: they take those of the page
  const onThisPage = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const [ink, soft, faint, hair, paper] = ["--ink", "--soft", "--faint", "--hair", "--paper"].map((name) =>
      style.getPropertyValue(name).trim(),
    );
    const axes = Object.keys(layout.template?.layout ?? {})
      .concat(Object.keys(layout), ["xaxis", "yaxis"])
      .filter((key) => /^[xy]axis\d*$/.test(key));
    const themed = {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { ...layout.font, color: ink },
      hoverlabel: { ...layout.hoverlabel, bgcolor: paper, bordercolor: faint, font: { color: ink } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      title: { text: "" },
      margin: { ...layout.margin, t: 30 },
      uirevision: "kept",
    };
    for (const key of new Set(axes)) {
      themed[key] = { ...layout[key], gridcolor: hair, zerolinecolor: faint, linecolor: faint };
    }
    return themed;
  };

  // A title of Plotly's has a little markup of its own: what stands above a figure is its text
  const text = (title) => {
    const written = typeof title === "string" ? title : (title?.text ?? "");
    return new DOMParser().parseFromString(written.replaceAll("<br>", " "), "text/html").body.textContent;
  };

  const given = (figure) => {
    const inline = document.getElementById(figure.dataset.inline ?? "");
    if (inline) return Promise.resolve({ ok: true, status: 200, headers: new Headers(), json: () => JSON.parse(inline.textContent) });
    return fetch(figure.dataset.figure, figure.mark ? { headers: { "If-None-Match": figure.mark } } : {});
  };

  const draw = async (figure) => {
    const answer = await given(figure);
    const wait = Number(answer.headers.get("Retry-After"));
    if (answer.ok || answer.status === 304) {
      if (wait) setTimeout(() => later(figure), 1000 * wait); // something in it is still being measured
    }
    if (answer.status === 304) return;
    const plot = figure.querySelector(".plot");
    if (!answer.ok) {
      plot.textContent = (await answer.json()).reason ?? answer.statusText;
      return;
    }
    figure.mark = answer.headers.get("ETag");
    const { data, layout } = await answer.json();
    figure.hidden = data.length === 0;
    if (figure.hidden) return;
    figure.drawn = { data, layout };
    const title = text(layout.title);
    if (title) figure.querySelector("h3").textContent = title;
    plot.setAttribute("aria-label", layout.meta?.alt ?? title);
    plot.style.height = `${layout.height ?? HEIGHT}px`;
    await Plotly.react(plot, data, onThisPage(layout), FEW_BUTTONS);
  };

  // A report has Plotly inside, packed: its text runs only as what the page's policy names by its hash
  const unpack = async (packed) => {
    const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };

  const packed = document.getElementById("plotly");
  const figures = [...document.querySelectorAll("figure[data-figure], figure[data-inline]")];
  const seen = new Set();
  let queue = packed ? unpack(packed) : Promise.resolve();
  const later = (figure) => {
    queue = queue.then(() => draw(figure)).catch((error) => console.warn(String(error)));
    return queue;
  };
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        target.inView = isIntersecting;
        if (isIntersecting && (!seen.has(target) || target.old)) {
          seen.add(target);
          target.old = false;
          later(target);
        }
      }
    },
    { rootMargin: NEAR },
  );
  if (packed) Promise.all(figures.map(later)).then(() => (document.documentElement.dataset.drawn = "yes"));
  else for (const figure of figures) watch.observe(figure);
  dark.addEventListener("change", () => {
    for (const figure of figures) {
      if (figure.drawn) Plotly.react(figure.querySelector(".plot"), figure.drawn.data, onThisPage(figure.drawn.layout), FEW_BUTTONS);
    }
  });

  // A policy that moves is shown as it was in the epoch of its slider
  const sliders = () => document.querySelectorAll(".slider").forEach((each) => (each.hidden = false));
  sliders();
  document.addEventListener("input", ({ target }) => {
    const { column, epochs } = target.dataset;
    if (!column) return;
    target.labels[0].querySelector("output").textContent = epochs.split(" ")[target.value];
    for (const each of document.querySelectorAll(`[data-of="${column}"]`)) each.hidden = each.dataset.step !== target.value;
  });

  // What has the focus or was opened stays so, and what was scrolled stays where it was
  const replace = (part, html) => {
    const reached = () => [...part.querySelectorAll("a, button, summary, input, select, [tabindex]")];
    const focus = reached().indexOf(document.activeElement);
    const open = [...part.querySelectorAll("details")].map((each) => each.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
    part.innerHTML = html;
    sliders();
    part.querySelectorAll("details").forEach((each, k) => (each.open = open[k] ?? false));
    part.querySelectorAll(".scroll").forEach((each, k) => (each.scrollLeft = scrolled[k] ?? 0));
    if (focus >= 0) reached()[focus]?.focus({ preventScroll: true });
    const section = part.closest("section[id]");
    if (section && section.id !== "answer") section.hidden = part.textContent.trim() === "" && part === section.lastElementChild;
  };

  const { api, stamp } = document.body.dataset;
  let mark = null;
  let known = stamp;

  const say = (reason) => {
    away.textContent = reason;
    away.hidden = !reason;
  };

  const follow = async () => {
    try {
      const answer = await fetch(api, {
        headers: mark ? { "If-None-Match": mark } : {},
        cache: "no-store",
        signal: AbortSignal.timeout(1000 * PATIENCE_SECONDS),
      });
      if (answer.status !== 304) {
        const news = await answer.json();
        if (!answer.ok) throw new Error(news.reason);
        mark = answer.headers.get("ETag");
        const parts = new Map([...document.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
        if (Object.keys(news.parts).some((name) => !parts.has(name))) return location.reload();
        for (const [name, { mark: now, html }] of Object.entries(news.parts)) {
          const part = parts.get(name);
          if (part.dataset.mark !== now) {
            replace(part, html);
            part.dataset.mark = now;
          }
        }
        if (news.stamp !== known) {
          known = news.stamp;
          for (const figure of seen) {
            if (figure.inView || figure.hidden) later(figure); // one that had nothing to draw comes into no view
            else figure.old = true;
          }
        }
      }
      say("");
    } catch (error) {
      const quiet = error.name === "TimeoutError" || error.name === "TypeError";
      say(`${quiet ? "Nothing answers" : error.message}: what is shown is as it was. This page goes on by itself.`);
    }
    setTimeout(follow, 1000 * SECONDS);
  };
  if (api) setTimeout(follow, 1000 * SECONDS);
})();
