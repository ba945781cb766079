"use strict";
(() => {
  const root = document.documentElement;
  const faults = [];
  addEventListener("error", (event) => faults.push(String(event.message)));
  addEventListener("securitypolicyviolation", (event) => faults.push("blocked: " + event.violatedDirective));
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.remove("still");

  // What a reader has chosen lives in the address, so that it can be shared: #sort=table:column:desc&method=...
  // An address without "=" is an ordinary anchor.
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const remember = (key, value) => {
    state.set(key, value);
    history.replaceState(null, "", "#" + state);
  };

  // Tables: sorted by a header's button; what is undefined stays last in either direction.
  const sort = (table, key, direction) => {
    const heads = all("thead th", table);
    const place = heads.findIndex((head) => head.dataset.key === key);
    if (place < 0) return;
    const numeric = heads[place].classList.contains("num");
    const sign = direction === "descending" ? -1 : 1;
    const value = (row) => row.cells[place].dataset.sort;
    const rows = all("tbody tr", table);
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return sign * (numeric ? x - y : x.localeCompare(y, "en", { numeric: true }));
    });
    table.tBodies[0].append(...rows);
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === place ? direction : "none"));
  };
  for (const table of all("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      if (!event.target.closest("button")) return;
      const head = event.target.closest("th");
      const now = head.getAttribute("aria-sort");
      const first = head.classList.contains("num") ? "descending" : "ascending";
      const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
      sort(table, head.dataset.key, next);
      remember("sort", [table.id, head.dataset.key, next === "descending" ? "desc" : "asc"].join(":"));
    });
  }
  if (state.has("sort")) {
    const [id, key, direction] = state.get("sort").split(":");
    const table = all("table.sortable").find((candidate) => candidate.id === id);
    if (table) sort(table, key, direction === "desc" ? "descending" : "ascending");
  }

  // Views: one set of columns instead of another.
  const show = (group, view) => {
    if (!all("button", group).some((button) => button.dataset.view === view)) return;
    for (const button of all("button", group)) button.setAttribute("aria-pressed", button.dataset.view === view);
    for (const cell of all("[data-in]", document.getElementById(group.dataset.for))) cell.hidden = cell.dataset.in !== view;
  };
  for (const group of all(".views")) {
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      show(group, button.dataset.view);
      remember("view", button.dataset.view);
    });
    if (state.has("view")) show(group, state.get("view"));
  }

  // Pickers: those of one topic move together.
  const topics = {};
  const choose = (topic, title) => (topics[topic] || []).forEach((set) => set(title));
  const listen = (topic, set) => (topics[topic] = topics[topic] || []).push(set);
  for (const box of all(".panels")) {
    const parts = all(":scope > .panel", box);
    const select = box.querySelector("[data-role=panel]");
    if (!select) continue;
    const topic = box.dataset.topic;
    const set = (title) => {
      if (!parts.some((part) => part.dataset.panel === title)) return;
      select.value = title;
      for (const part of parts) part.hidden = part.dataset.panel !== title;
    };
    set(parts[0].dataset.panel);
    listen(topic, set);
    select.addEventListener("change", () => { choose(topic, select.value); remember(topic, select.value); });
  }

  // Scatter plots.
  const svg = (name, attributes, text) => {
    const node = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const ticks = (low, high) => {
    const raw = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    const values = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) values.push(k * step);
    return values;
  };
  const text = (value) => String(Number(value.toPrecision(3))).replace("-", "\u2212");
  const unpack = (packed) => {
    const bytes = Uint8Array.from(atob(packed.d), (c) => c.charCodeAt(0));
    const level = (v, [low, high]) => (v === 4095 ? NaN : low + (high - low) * v / 4094);
    const points = [];
    for (let i = 0; i < bytes.length; i += 3) {
      points.push([level(bytes[i] << 4 | bytes[i + 1] >> 4, packed.x), level((bytes[i + 1] & 15) << 8 | bytes[i + 2], packed.y)]);
    }
    return points;
  };
  const wide = ([low, high]) => {
    const room = 0.04 * (high - low) || 0.5 * Math.abs(high) || 0.5;
    return [low - room, high + room];
  };
  for (const figure of all("figure.scatter")) {
    const { frame, clouds } = JSON.parse(figure.querySelector("script").textContent);
    const [clouding, methods] = [figure.querySelector("[data-role=cloud]"), figure.querySelector("[data-role=method]")];
    const plot = figure.querySelector("svg"), here = plot.querySelector(".here");
    const note = figure.querySelector(".note"), readout = figure.querySelector(".readout"), hint = readout.textContent;
    let cloud, places = [], values = [], order = [], at = -1;
    const draw = () => {
      cloud = clouds.find((candidate) => candidate.title === clouding.value);
      for (const option of methods.options) option.disabled = !(option.value in cloud.values);
      if (methods.selectedOptions[0].disabled) methods.value = Object.keys(cloud.values)[0];
      const packed = cloud.values[methods.value];
      const [x0, x1] = wide(packed.x), [y0, y1] = wide(packed.y);
      const px = (v) => frame.left + (frame.right - frame.left) * (v - x0) / (x1 - x0);
      const py = (v) => frame.bottom - (frame.bottom - frame.top) * (v - y0) / (y1 - y0);
      values = unpack(packed);
      places = values.map(([x, y]) => [px(x), py(y)]);
      order = places.map((_, i) => i).filter((i) => isFinite(places[i][0] + places[i][1]));
      order.sort((a, b) => places[a][0] - places[b][0] || places[b][1] - places[a][1]);
      plot.querySelector(".dots").replaceChildren(...order.map((i) =>
        svg("circle", { cx: places[i][0].toFixed(1), cy: places[i][1].toFixed(1), r: 3.2 })));
      plot.querySelector(".ticks").replaceChildren(
        ...ticks(x0, x1).flatMap((v) => [
          svg("line", { class: "grid", x1: px(v), x2: px(v), y1: frame.top, y2: frame.bottom }),
          svg("text", { class: "x", x: px(v), y: frame.bottom + 20 }, text(v))]),
        ...ticks(y0, y1).flatMap((v) => [
          svg("line", { class: "grid", x1: frame.left, x2: frame.right, y1: py(v), y2: py(v) }),
          svg("text", { class: "y", x: frame.left - 8, y: py(v) + 5 }, text(v))]));
      plot.querySelector(".name.x").textContent = cloud.names[0];
      plot.querySelector(".name.y").textContent = cloud.names[1];
      plot.setAttribute("aria-label", cloud.names.join(" against ") + "; arrow keys step through the cells");
      note.textContent = `${cloud.title}, ${methods.value}. ${cloud.notes[methods.value] || ""}`;
      tell(-1);
    };
    const tell = (i) => {
      at = i;
      here.toggleAttribute("hidden", i < 0);
      if (i < 0) { readout.textContent = hint; return; }
      here.setAttribute("cx", places[i][0]);
      here.setAttribute("cy", places[i][1]);
      const line = (k) => `${cloud.names[k]}: ${text(values[i][k])}` +
        (cloud.raw && cloud.raw[k][i] !== null ? ` (${cloud.raw[k][i]} counted)` : "");
      const same = places.filter(([x, y]) => x === places[i][0] && y === places[i][1]).length - 1;
      readout.textContent = [cloud.cells[i], line(0), line(1), same ? `${same} more in this place` : ""].join("\n");
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect(), scale = frame.width / box.width;
      const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      const far = (i) => (places[i][0] - x) ** 2 + (places[i][1] - y) ** 2;
      let best = -1;
      for (const i of order) if (best < 0 || far(i) < far(best)) best = i;
      tell(best >= 0 && far(best) < 400 ? best : -1);
    });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step || !order.length) return;
      event.preventDefault();
      const next = at < 0 ? 0 : order.indexOf(at) + step;
      tell(order[(next + order.length) % order.length]);
    });
    const highlight = () => all(".lane").forEach((lane) => lane.classList.toggle("picked", lane.dataset.method === methods.value));
    const has = (select, value) => [...select.options].some((option) => option.value === value);
    listen(figure.dataset.topic, (title) => { if (has(clouding, title)) { clouding.value = title; draw(); } });
    clouding.addEventListener("change", () => { choose(figure.dataset.topic, clouding.value); remember(figure.dataset.topic, clouding.value); });
    methods.addEventListener("change", () => { draw(); highlight(); remember("method", methods.value); });
    if (state.has("method") && has(methods, state.get("method"))) { methods.value = state.get("method"); highlight(); }
    draw();
  }
  for (const topic in topics) if (state.has(topic)) choose(topic, state.get(topic));

  // Colours: as the system has them, light, dark.
  const button = document.getElementById("theme");
  const themes = ["", "light", "dark"], names = ["as the system has them", "light", "dark"];
  const store = { get: () => { try { return localStorage.getItem("corpuscle-theme"); } catch { return null; } },
    set: (value) => { try { localStorage.setItem("corpuscle-theme", value); } catch { /* private mode */ } } };
  const paint = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    button.setAttribute("aria-label", "Colours: " + names[themes.indexOf(theme)]);
    button.title = "Colours: " + names[themes.indexOf(theme)];
  };
  let theme = state.get("theme") || store.get() || "";
  theme = themes.includes(theme) ? theme : "";
  paint(theme);
  button.addEventListener("click", () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; paint(theme); store.set(theme); });

  for (const copy of all(".copy")) {
    copy.addEventListener("click", async () => {
      const code = copy.parentElement.querySelector("code");
      try { await navigator.clipboard.writeText(code.textContent); copy.textContent = "Copied"; } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
    });
  }

  // Where in the page the reader is.
  const links = new Map(all(".bar nav a").map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [id, link] of links) {
        if (id === target.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      }
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  all("main > section").forEach((section) => watch.observe(section));

  if (location.hash === "#selftest" || state.has("selftest")) {
    root.dataset.selftest = JSON.stringify({ width: root.clientWidth, needed: root.scrollWidth, faults });
  }
})();
