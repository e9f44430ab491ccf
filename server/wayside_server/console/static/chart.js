"use strict";

(() => {
  const root = document.getElementById("chart");
  const part = (role) => root.querySelector(`[data-role=${role}]`);
  const base = `/api/v1/devices/${encodeURIComponent(root.dataset.device)}`;
  const MAX_FIRST = 6; // series shown before anything is chosen
  const POINTS = 600; // a series and a chart: more than it has pixels for
  const RAW_SECONDS = 900; // up to here samples are shown as they are
  const SECONDS = { s: 1, min: 60, h: 3600, d: 86400 }; // units of time, whose figures bring their sign along
  const SPANS = [[86400, "d"], [3600, "h"], [60, "min"]];
  const GAP_STEPS = 3.5; // a pause of this many usual steps is drawn as a gap

  // Rows of uPlot: smallest step in seconds, label, then what is added on a new year, month, day, hour, minute, second.
  const CLOCK = [
    [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
    [60, "{HH}:{mm}", null, null, "\n{D} {MMM}", null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", null, null, "\n{D} {MMM}", null, null, null, 1],
  ];

  const palette = () => {
    const style = getComputedStyle(document.documentElement);
    return Array.from({ length: 8 }, (_, i) => style.getPropertyValue(`--line-${i + 1}`).trim());
  };
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const lines = new Map(); // key -> {name, unit, shown, color, times, values, buckets}; buckets: how many lead the samples
  const charts = new Map(); // unit -> uPlot
  let seconds = 300;
  let events = null;
  let frame = 0;
  let round = 0;
  let loaded = false; // the history of the chosen range is whole

  const signs = JSON.parse(root.dataset.units);
  const signOf = (unit) => signs[unit] ?? unit;

  // As value_text in view.py: a byte count must fit beside its axis.
  function short(value, unit) {
    if (value == null) return "–";
    if (unit in SECONDS) {
      const span = SPANS.find(([size]) => Math.abs(value) * SECONDS[unit] >= 2 * size);
      return span ? `${+((value * SECONDS[unit]) / span[0]).toPrecision(5)} ${span[1]}` : `${+value.toPrecision(7)} ${unit}`;
    }
    const size = [1e12, 1e9, 1e6].find((step) => Math.abs(value) >= step);
    if (!size) return `${+value.toPrecision(7)}`;
    return `${+(value / size).toPrecision(5)} ${{ 1e12: "T", 1e9: "G", 1e6: "M" }[size]}`;
  }

  const keyOf = (sample) => `${sample.series} ${sample.unit}`;

  function add(sample) {
    const line = lines.get(keyOf(sample));
    // A sample without a value, or a bucket of nothing else, parts the line.
    const absent = sample.value === null && (sample.quality !== null || sample.absent > 0);
    if (!line || !(absent || typeof sample.value === "number")) return;
    const time = Date.parse(sample.time) / 1000;
    const last = line.times.length - 1;
    if (last >= 0 && time <= line.times[last]) return;
    line.times.push(time);
    line.values.push(sample.value);
    if (sample.absent != null) line.buckets = line.times.length;
  }

  function usualStep(times) {
    const steps = [];
    for (let i = Math.max(1, times.length - 60); i < times.length; i++) steps.push(times[i] - times[i - 1]);
    steps.sort((a, b) => a - b);
    return steps.length ? steps[steps.length >> 1] : 0;
  }

  function withGaps(line) {
    // A bucket lasts longer than the live samples behind it are apart: each has a usual step of its own.
    const limitOf = (times) => GAP_STEPS * usualStep(times);
    const [bucketLimit, sampleLimit] = [line.times.slice(0, line.buckets), line.times.slice(line.buckets)].map(limitOf);
    const times = [];
    const values = [];
    line.times.forEach((time, i) => {
      const limit = i <= line.buckets && line.buckets ? bucketLimit : sampleLimit;
      if (i && limit && time - line.times[i - 1] > limit) {
        times.push((time + line.times[i - 1]) / 2);
        values.push(null);
      }
      times.push(time);
      values.push(line.values[i]);
    });
    return [times, values];
  }

  // A value between two gaps is no part of a line; places where only other series have samples are undefined.
  function alone(plot, at) {
    const found = [];
    let behindGap = true;
    let candidate = null;
    plot.data[at].forEach((value, i) => {
      if (value === undefined) return;
      if (value === null && candidate !== null) found.push(candidate);
      candidate = value !== null && behindGap ? i : null;
      behindGap = value === null;
    });
    if (candidate !== null) found.push(candidate);
    return found;
  }

  function trim(oldest) {
    for (const line of lines.values()) {
      let drop = 0;
      while (drop < line.times.length && line.times[drop] < oldest) drop++;
      if (drop) {
        line.times.splice(0, drop);
        line.values.splice(0, drop);
        line.buckets = Math.max(0, line.buckets - drop);
      }
    }
  }

  // Pixels that the longest figure needs beside an axis, with its tick and gap.
  const valuesSize = (_, figures) => Math.max(50, 18 + 7.5 * Math.max(0, ...(figures ?? []).map((figure) => figure.length)));

  // Pixels between times: a phone has room for one a minute, as 11:25; a wider plot shows seconds too.
  const tickSpace = (_plot, _axis, _min, _max, width) => (width < 400 ? 40 : 60);

  function options(unit, shown, width) {
    const axis = { stroke: ink("--muted"), grid: { stroke: ink("--rule"), width: 1 }, ticks: { stroke: ink("--rule"), width: 1 } };
    return {
      width,
      height: 220,
      cursor: { points: { size: 6 } },
      scales: { x: { range: () => [Date.now() / 1000 - seconds, Date.now() / 1000] } },
      axes: [{ ...axis, values: CLOCK, space: tickSpace }, { ...axis, size: valuesSize, label: unit in SECONDS ? null : signOf(unit) || null, labelSize: 20, values: (_, steps) => steps.map((step) => short(step, unit)) }],
      series: [
        { value: (_, time) => (time == null ? "–" : new Date(time * 1000).toLocaleTimeString("en-GB")) },
        ...shown.map((line) => ({
          label: line.name,
          stroke: line.color,
          width: 1.6,
          spanGaps: false,
          points: { show: false, filter: alone, size: 5, fill: line.color },
          value: (_, value) => short(value, unit),
        })),
      ],
    };
  }

  function rebuild() {
    for (const chart of charts.values()) chart.destroy();
    charts.clear();
    const holder = part("plots");
    holder.replaceChildren();
    const units = new Map();
    for (const line of lines.values()) {
      if (!line.shown) continue;
      if (!units.has(line.unit)) units.set(line.unit, []);
      units.get(line.unit).push(line);
    }
    if (!units.size) {
      const hint = document.createElement("p");
      hint.className = "hint";
      hint.textContent = lines.size ? "Choose a series." : "No numeric series yet.";
      holder.append(hint);
    }
    for (const [unit, shown] of units) {
      const chart = new uPlot(options(unit, shown, holder.clientWidth), uPlot.join(shown.map(withGaps)), holder);
      charts.set(unit, chart);
      chart.shownLines = shown;
      const none = document.createElement("p");
      none.className = "hint none";
      none.textContent = "No samples in this range.";
      none.hidden = true;
      holder.append(none);
      chart.none = none;
    }
    draw();
  }

  function draw() {
    frame = 0;
    trim(Date.now() / 1000 - seconds - 60);
    for (const chart of charts.values()) {
      chart.setData(uPlot.join(chart.shownLines.map(withGaps)));
      chart.none.hidden = !loaded || chart.shownLines.some((line) => line.values.some((value) => value !== null));
    }
    const newest = Math.max(0, ...[...lines.values()].map((line) => line.times.at(-1) ?? 0));
    part("link").title = newest ? `newest sample ${new Date(newest * 1000).toISOString()}` : "no samples yet";
  }

  function soon() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function chips() {
    const holder = part("series");
    holder.replaceChildren();
    for (const line of lines.values()) {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = `chip line-${line.index + 1}`;
      chip.textContent = signOf(line.unit) ? `${line.name} · ${signOf(line.unit)}` : line.name;
      chip.setAttribute("aria-pressed", line.shown);
      chip.addEventListener("click", () => {
        line.shown = !line.shown;
        chip.setAttribute("aria-pressed", line.shown);
        rebuild();
      });
      holder.append(chip);
    }
    offerAll();
  }

  // More series than fit into five rows are a button away.
  function offerAll() {
    const holder = part("series");
    const button = part("more");
    button.hidden = !holder.classList.contains("all") && holder.scrollHeight <= holder.clientHeight + 1;
    button.textContent = holder.classList.contains("all") ? "Show fewer" : `Show all ${lines.size} series`;
  }

  async function getJson(url) {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    if (response.status === 401) window.location.assign(`/sign-in?next=${encodeURIComponent(window.location.pathname + window.location.search)}`);
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    return response.json();
  }

  async function history(mine) {
    const query = new URLSearchParams({ start: `-${seconds}s`, limit: "1000" });
    if (seconds > RAW_SECONDS) {
      query.set("aggregation", "avg");
      query.set("bucket", Math.ceil(seconds / POINTS));
    }
    let url = `${base}/telemetry?${query}`;
    while (url && mine === round) {
      const page = await getJson(url);
      if (mine !== round) return;
      page.samples.forEach(add);
      url = page.next;
      soon();
    }
  }

  function follow() {
    if (events) events.close();
    const link = part("link");
    // A little overlap; what was loaded already is passed over.
    events = new EventSource(`${base}/live?since=-30s`);
    events.addEventListener("open", () => { link.textContent = "live"; link.dataset.on = "yes"; });
    events.addEventListener("error", () => { link.textContent = "reconnecting"; delete link.dataset.on; });
    events.addEventListener("samples", (event) => {
      JSON.parse(event.data).samples.forEach(add);
      soon();
    });
  }

  async function load() {
    const mine = ++round;
    loaded = false;
    if (events) events.close();
    for (const line of lines.values()) { line.times = []; line.values = []; line.buckets = 0; }
    rebuild();
    await history(mine);
    if (mine !== round) return;
    loaded = true;
    soon();
    follow();
  }

  async function begin() {
    const colors = palette();
    const latest = await getJson(`${base}/latest`);
    // Of a series that never had a value nobody knows whether it will be a number; most are.
    const numeric = (sample) => typeof (sample.value ?? sample.last_value) === "number";
    const unknown = (sample) => sample.absent_since !== null && sample.last_value_time === null;
    latest.samples.filter((sample) => numeric(sample) || unknown(sample)).forEach((sample, i) => {
      const index = i % colors.length;
      lines.set(keyOf(sample), {
        name: sample.series, unit: sample.unit, shown: i < MAX_FIRST && numeric(sample), color: colors[index], index, times: [], values: [], buckets: 0,
      });
    });
    chips();
    await load();
  }

  for (const button of part("ranges").querySelectorAll("button")) {
    button.addEventListener("click", () => {
      seconds = Number(button.dataset.seconds);
      for (const other of part("ranges").querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
      load();
    });
  }
  part("more").addEventListener("click", () => {
    part("series").classList.toggle("all");
    offerAll();
  });
  new ResizeObserver(() => {
    offerAll();
    for (const chart of charts.values()) chart.setSize({ width: part("plots").clientWidth, height: 220 });
  }).observe(part("plots"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    const colors = palette();
    for (const line of lines.values()) line.color = colors[line.index];
    rebuild();
  });
  setInterval(soon, 1000);
  begin();
})();
