"use strict";
// Asks for the state of the site again and again, and changes only what has changed: what is open stays open, and what
// has the focus keeps it. Whatever comes from the site is set as text, never as markup.

const EVERY = 2000; // ms; the answer comes from the sidecar's memory
const LOG_EVERY = 3000; // ms, for the log that is shown
const HISTORY_EVERY = 30000; // ms; there is a new sample each minute
const FEW_TROUBLES = 5;
const PHASES = ["failed", "waiting", "running", "ending", "unknown", "succeeded"];

const at = (id) => document.getElementById(id);
const shown = { phase: "", words: "", allTroubles: false, state: null, log: null, history: null };

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Give `parent` one child for each item, in the order of the items. Existing children are kept.
function keep(parent, items, keyOf, make, update) {
  const old = new Map();
  for (const child of [...parent.children]) {
    if (old.has(child.dataset.key)) child.remove();
    else old.set(child.dataset.key, child);
  }
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    old.delete(key);
    update(child, item);
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
  });
  for (const child of old.values()) child.remove();
}

function duration(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`;
  }
  return `${Math.floor(seconds)}s`;
}

function clock(seconds) {
  const time = new Date(seconds * 1000);
  const today = time.toDateString() === new Date().toDateString();
  const form = { hour12: false };
  return today ? time.toLocaleTimeString([], form) : time.toLocaleString([], form);
}

function address(path, query) {
  const url = new URL(path, location.href);
  url.username = url.password = ""; // a browser does not fetch an address that holds them
  for (const [key, value] of Object.entries(query || {})) url.searchParams.set(key, value);
  return url;
}

// --- the site ---

function figures(state) {
  const site = state.site;
  const trip = site.roundTripSeconds;
  const late = site.lastPollSeconds !== null && site.lastPollSeconds > 3 * site.pollIntervalSeconds;
  return [
    ["Round trip", trip === null ? "–" : `${Math.ceil(trip * 1000)}`, trip === null ? "" : "ms"],
    ["Last poll", site.lastPollSeconds === null ? "never" : duration(site.lastPollSeconds), late ? "ago: late" : "ago"],
    ["Running", count(state, "running"), "pods"],
    ["Waiting", count(state, "waiting"), "pods"],
    ["Failed", count(state, "failed"), "pods"],
    ["Sessions", `${site.sessionsInUse}`, `of ${site.sessionsLimit}`],
  ];
}

function count(state, phase) {
  return `${state.counts[phase] || 0}`;
}

function showSite(state) {
  const site = state.site;
  document.body.dataset.site = site.reachable && !site.storageError ? "good" : "bad";
  say(at("address"), site.address);
  const again = site.retryInSeconds > 0 ? ` (tried again in ${duration(site.retryInSeconds)})` : "";
  const where = site.host ? `reachable, by ${site.host}` : "reachable";
  const failure = site.connected ? "connected, but the poll fails" : "not reachable";
  const retried = site.storageRetryInSeconds > 0 ? ` (tried again in ${duration(site.storageRetryInSeconds)})` : "";
  const stores = site.storageError ? `${where}, but pods cannot be stored: ${site.storageError}${retried}` : where;
  say(at("verdict"), site.reachable ? stores : `${failure}: ${site.error}${again}`);
  keep(at("figures"), figures(state), (figure) => figure[0], makeFigure, (box, [name, value, unit]) => {
    say(box.querySelector("b"), value);
    say(box.querySelector("small"), unit);
    box.classList.toggle("alarm", (name === "Failed" && value !== "0") || unit.endsWith("late"));
  });
  at("waiting").hidden = state.waiting.length === 0;
  say(at("waiting"), `Waiting: ${state.waiting.map(waitingFor).join("; ")}`);
  say(at("version"), `remote-slurm ${state.version}.`);
}

function waitingFor({ reason, meaning, pods }) {
  return `${pods} ${pods === 1 ? "pod" : "pods"} ${reason}${meaning ? ` (${meaning})` : ""}`;
}

function makeFigure([name]) {
  const box = element("div");
  const value = element("dd");
  value.append(element("b"), " ", element("small"));
  box.append(element("dt", "", name), value);
  return box;
}

function showAccounts(accounts) {
  at("accounts-section").hidden = accounts.length === 0;
  keep(at("accounts"), accounts, (each) => each.name, makeAccount, (item, each) => {
    item.classList.toggle("away", !each.reachable);
    say(item.querySelector("small"), each.reachable ? "reachable" : each.error);
  });
}

function makeAccount(account) {
  const item = element("li");
  const light = element("span", "light");
  light.setAttribute("aria-hidden", "true");
  item.append(light, element("b", "", account.name), " ", element("small"));
  return item;
}

function showPartitions(partitions, reachable) {
  say(at("partitions-unit"), reachable ? "free CPUs" : "free CPUs before the failure");
  keep(at("partitions"), partitions || [], (each) => each.name, makePartition, (item, each) => {
    say(item.querySelector(".name"), each.name + (each.default ? " (default)" : ""));
    say(item.querySelector(".free"), each.up ? `${each.free} of ${each.cpus}` : "down");
    const meter = item.querySelector("meter");
    meter.max = Math.max(1, each.cpus);
    meter.value = each.up ? each.free : 0;
    meter.setAttribute("aria-label", `free CPUs in ${each.name}`);
    const nodes = [each.nodes === 1 ? "1 node" : `${each.nodes} nodes`, ...Object.entries(each.unusableNodes).map(([why, number]) => `${number} ${why}`)].join(", ");
    const limit = each.timeLimit === "infinite" ? "no time limit" : `at most ${each.timeLimit}`;
    say(item.querySelector(".more"), [nodes, limit, each.gres].filter(Boolean).join(" · "));
  });
}

function makePartition() {
  const item = element("li");
  const row = element("div", "row");
  row.append(element("span", "name"), element("span", "free"));
  item.append(row, element("meter"), element("div", "more"));
  return item;
}

// --- what failed ---

function showTroubles(troubles) {
  at("troubles-section").hidden = troubles.length === 0;
  const some = shown.allTroubles ? troubles : troubles.slice(0, FEW_TROUBLES);
  const keyOf = (each) => JSON.stringify({ ...each, time: 0 }); // one that is said again moves up
  keep(at("troubles"), some, keyOf, makeTrouble, (item, each) => {
    say(item.querySelector("time"), clock(each.time));
    say(item.querySelector("b"), each.pod ? `${each.pod}: ` : "");
    say(item.querySelector("i"), troubleSentence(each));
  });
  const more = at("more-troubles");
  more.hidden = troubles.length <= FEW_TROUBLES;
  more.setAttribute("aria-expanded", String(shown.allTroubles));
  say(more, shown.allTroubles ? "Show fewer" : `Show all ${troubles.length}`);
}

function troubleSentence(each) {
  const facts = [
    each.job && `job ${each.job}`,
    each.state,
    each.exit_code !== undefined && `exit code ${each.exit_code}`,
    each.request,
  ];
  const tail = facts.filter(Boolean).join(", ");
  const sentence = each.reason ? `${each.message}: ${each.reason}` : each.message;
  return tail ? `${sentence} (${tail})` : sentence;
}

function makeTrouble() {
  const item = element("li");
  const text = element("span");
  const sentence = element("i");
  sentence.style.fontStyle = "normal";
  text.append(element("b"), sentence);
  item.append(element("time"), text);
  return item;
}

// --- pods ---

function showPods(state) {
  const found = state.pods.filter(hasWords);
  showPhases(shown.words ? countsOf(found) : state.counts);
  const pods = found.filter((pod) => !shown.phase || pod.phase === shown.phase);
  keep(at("list"), pods, (pod) => pod.pod, makePod, updatePod);
  const all = Object.values(state.counts).reduce((sum, each) => sum + each, 0);
  at("nothing").hidden = pods.length > 0;
  say(at("nothing"), all ? "No pod matches." : "There are no pods.");
  say(at("matches"), shown.words || shown.phase ? `${pods.length} of ${all} pods match` : "");
  say(at("shown"), all > state.pods.length ? `The ${state.pods.length} most urgent of ${all} pods are shown.` : "");
}

function countsOf(pods) {
  const counts = {};
  for (const pod of pods) counts[pod.phase] = (counts[pod.phase] || 0) + 1;
  return counts;
}

function hasWords(pod) {
  const text = `${pod.name} ${pod.pod} ${pod.jobId} ${pod.state} ${pod.reason} ${pod.account} ${pod.node}`.toLowerCase();
  return shown.words.split(/\s+/).every((word) => text.includes(word));
}

function showPhases(counts) {
  const phases = PHASES.filter((phase) => counts[phase] || phase === shown.phase);
  keep(at("phases"), phases, (phase) => phase, makePhase, (button, phase) => {
    say(button, `${phase} ${counts[phase] || 0}`);
    button.setAttribute("aria-pressed", String(shown.phase === phase));
  });
}

function makePhase(phase) {
  const button = element("button");
  button.type = "button";
  button.addEventListener("click", () => {
    shown.phase = shown.phase === phase ? "" : phase;
    showPods(shown.state);
  });
  return button;
}

function makePod(pod) {
  const item = element("li");
  const details = element("details");
  const summary = element("summary");
  for (const name of ["state", "name", "job", "node", "used", "age", "reason"]) summary.append(element("span", name));
  const inside = element("div", "inside");
  const log = element("pre");
  log.tabIndex = 0; // so that it can be scrolled with the keyboard
  log.setAttribute("role", "log");
  log.setAttribute("aria-live", "off");
  log.setAttribute("aria-label", "log");
  const forward = element("p", "forward");
  forward.append(element("span"), element("code"));
  const shell = element("p", "shell");
  shell.append(element("span"), element("code"));
  say(shell.querySelector("span"), "shell");
  inside.append(element("p", "facts"), element("p", "usage"), element("p", "hint"), forward, shell, element("div", "containers"), log);
  details.append(summary, inside);
  details.addEventListener("toggle", () => toggle(details, item));
  item.append(details);
  return item;
}

function updatePod(item, pod) {
  item.pod = pod;
  const summary = item.querySelector("summary");
  summary.className = pod.phase;
  say(summary.querySelector(".state"), pod.state);
  showName(summary.querySelector(".name"), pod.name);
  say(summary.querySelector(".job"), pod.jobId);
  say(summary.querySelector(".node"), pod.node);
  summary.querySelector(".node").title = pod.node;
  say(summary.querySelector(".used"), used(pod.usage));
  say(summary.querySelector(".age"), duration(pod.ageSeconds));
  const unasked = pod.unaskedSeconds && `Kubernetes has not asked for it for ${duration(pod.unaskedSeconds)}`;
  say(summary.querySelector(".reason"), [unasked, pod.reason].filter(Boolean).join("; "));
  if (item.querySelector("details").open) updateInside(item, pod);
}

// A long name is on one line, cut in the middle, since many names differ at their ends only
const LONG_NAME = 24;
const NAME_END = 10;
function showName(node, name) {
  if (node.title === name) return;
  node.title = name;
  node.classList.toggle("long", name.length > LONG_NAME);
  if (name.length <= LONG_NAME) {
    node.textContent = name;
    return;
  }
  const [whole, start, end] = [element("span", "unseen", name), element("span", "start", name.slice(0, -NAME_END)), element("span", "end", name.slice(-NAME_END))];
  for (const part of [start, end]) part.setAttribute("aria-hidden", "true");
  node.replaceChildren(whole, start, end);
}

// What a pod has used, as short as a column needs it
function used(usage) {
  if (!usage) return "";
  const { cpuSeconds, cpusReserved, wallSeconds, memoryPeakBytes, memoryLimitBytes } = usage;
  const parts = [];
  if (cpuSeconds !== null && cpusReserved && wallSeconds) parts.push(`${Math.round((100 * cpuSeconds) / (cpusReserved * wallSeconds))}% CPU`);
  if (memoryPeakBytes !== null && memoryLimitBytes) parts.push(`${Math.round((100 * memoryPeakBytes) / memoryLimitBytes)}% memory`);
  return parts.join(" · ");
}

function updateInside(item, pod) {
  const facts = [pod.account && `account ${pod.account}`, `folder ${pod.pod}`, pod.startsAt && `expected to start at ${clock(pod.startsAt)}`];
  say(item.querySelector(".facts"), facts.filter(Boolean).join(" · "));
  const usage = item.querySelector(".usage");
  const hint = item.querySelector(".hint");
  say(usage, pod.usage ? pod.usage.text + (pod.usage.source ? ` (measured by ${pod.usage.source})` : "") : "");
  say(hint, (pod.usage && pod.usage.hint) || "");
  usage.hidden = !usage.textContent;
  hint.hidden = !hint.textContent;
  updateForward(item.querySelector(".forward"), pod);
  if (!pod.containers.some((each) => each.name === item.container)) item.container = chosen(pod);
  updateShell(item.querySelector(".shell"), pod, item.container);
  keep(item.querySelector(".containers"), pod.containers, (each) => each.name, makeContainer, (button, each) => {
    say(button, `${each.name}: ${"exitCode" in each ? `exit code ${each.exitCode}` : each.state}`);
    button.title = each.message || "";
    button.setAttribute("aria-pressed", String(each.name === item.container));
  });
}

// The ports that the pod declares, and the command that forwards them as long as it can
function updateForward(line, pod) {
  const ports = pod.ports.join(" ");
  const forward = shown.state.forward;
  line.hidden = !ports;
  say(line.querySelector("span"), pod.ports.length === 1 ? `port ${ports}` : `ports ${ports}`);
  const command = line.querySelector("code");
  command.hidden = !forward || !["waiting", "running"].includes(pod.phase);
  if (command.hidden) return;
  const url = `${forward.scheme}://${location.hostname}:${forward.port}`;
  say(command, `remote-slurm port-forward --url ${url} --token-file TOKEN ${pod.name} ${ports}`);
}

// The command that opens a shell in the chosen container as long as it runs
function updateShell(line, pod, container) {
  const exec = shown.state.exec;
  line.hidden = !exec || pod.phase !== "running" || !pod.containers.some((each) => each.name === container && each.state === "running");
  if (line.hidden) return;
  const url = `${exec.scheme}://${location.hostname}:${exec.port}`;
  say(line.querySelector("code"), `remote-slurm exec -it --url ${url} --token-file TOKEN ${pod.name} -c ${container} -- sh`);
}

// The one that failed, else one that runs, else the last
function chosen(pod) {
  const found = pod.containers.find((each) => each.exitCode) || pod.containers.find((each) => each.state === "running");
  const last = pod.containers[pod.containers.length - 1];
  return (found || last || {}).name;
}

function makeContainer(container) {
  const button = element("button");
  button.type = "button";
  button.addEventListener("click", () => {
    const item = button.closest("li");
    item.container = container.name;
    updateInside(item, item.pod);
    readLog(item);
  });
  return button;
}

function toggle(details, item) {
  if (!details.open) {
    if (shown.log === item) shown.log = null;
    return;
  }
  for (const other of document.querySelectorAll("#list details[open]")) {
    if (other !== details) other.open = false; // one log at a time: each costs the site a read
  }
  updateInside(item, item.pod);
  readLog(item);
}

async function readLog(item) {
  shown.log = item;
  const { pod, container } = item;
  const log = item.querySelector("pre");
  log.setAttribute("aria-label", `log of ${container}`);
  if (!container) return;
  const text = await textOf("ui/log", { pod: pod.pod, container });
  if (shown.log !== item || item.container !== container) return;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 20;
  say(log, text);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

// --- the last hours ---

const HEIGHT = 110; // px of a plot
const ROWS = 24; // of a table, at most

function showHistory(history) {
  shown.history = history;
  const { times } = history;
  const full = Date.now() / 1000 - history.since > history.keptSeconds;
  say(at("history-since"), full ? "" : `since ${clock(history.since)}, when the sidecar started: a restart begins anew`);
  const plots = [
    { title: "Pods", unit: (value) => `${Math.round(value)}`, lines: Object.entries(history.pods), whole: true },
    { title: "Waiting time by partition", unit: seconds, lines: Object.entries(history.waitSeconds), none: "No job has started." },
    { title: "Submission latency", unit: seconds, lines: [["until Slurm accepted the job", history.submitSeconds]], none: "No job was submitted." },
  ];
  keep(at("plots"), plots, (plot) => plot.title, makePlot, () => {});
  // when they are in the page, and have a width
  plots.forEach((plot, index) => updatePlot(at("plots").children[index], plot, times));
}

function seconds(value) {
  if (value < 10) return `${Number(value.toFixed(1))}s`;
  const minutes = Math.floor(value / 60) % 60;
  return value >= 3600 && value < 86400 && minutes ? `${duration(value)} ${minutes}m` : duration(value);
}

function makePlot(plot) {
  const figure = element("figure");
  const table = element("details", "values");
  table.append(element("summary", "", "Values"), element("div", "scroll"));
  const scroll = table.querySelector(".scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `values: ${plot.title}`);
  scroll.append(element("table"));
  figure.append(element("figcaption", "", plot.title), element("ul", "legend"), element("div", "canvas"), element("p", "quiet"), table);
  return figure;
}

function updatePlot(figure, plot, times) {
  const lines = plot.lines.filter(([, values]) => values.some((value) => value !== null));
  const empty = !times.length || !lines.length;
  const canvas = figure.querySelector(".canvas");
  const note = figure.querySelector("p");
  canvas.hidden = figure.querySelector(".values").hidden = figure.querySelector(".legend").hidden = empty;
  note.hidden = !empty;
  say(note, times.length ? plot.none || "" : "The first sample comes within a minute.");
  if (empty) return;
  keep(figure.querySelector(".legend"), lines, ([name]) => name, makeKey, (item, line) => {
    item.querySelector("path").setAttribute("class", `line line${lines.indexOf(line)}`);
  });
  canvas.replaceChildren(drawn(plot, lines, times, Math.max(canvas.clientWidth, 200)));
  updateTable(figure.querySelector("table"), plot, lines, times);
}

function makeKey([name]) {
  const item = element("li");
  const sign = svg("svg", { width: 22, height: 8, "aria-hidden": "true" });
  sign.append(svg("path", { d: "M0 4H22" }));
  item.append(sign, element("span", "", name));
  return item;
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// One line for each series; where a minute has no value, the line goes on to the next one that has
function drawn(plot, lines, times, width) {
  const highest = Math.max(...lines.flatMap(([, values]) => values.map((value) => value || 0)), plot.whole ? 4 : 1);
  const first = times[0];
  const span = Math.max(times[times.length - 1] - first, 60);
  const x = (time) => 2 + ((time - first) / span) * (width - 4);
  const y = (value) => HEIGHT - 20 - (value / highest) * (HEIGHT - 36);
  const image = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": sentence(plot, lines, times) });
  for (const part of [0, 0.5, 1]) image.append(svg("path", { class: "grid", d: `M0 ${y(part * highest)}H${width}` }));
  lines.forEach(([, values], index) => {
    const points = values.map((value, at) => [times[at], value]).filter(([, value]) => value !== null);
    const path = points.map(([time, value], at) => `${at ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    image.append(svg("path", { class: `line line${index}`, d: path }));
    if (!plot.whole || points.length === 1) {
      for (const [time, value] of points) image.append(svg("circle", { class: `dot line${index}`, cx: x(time), cy: y(value), r: 2 }));
    }
  });
  const label = (text, left, top, anchor) => {
    const made = svg("text", { x: left, y: top, "text-anchor": anchor });
    made.textContent = text;
    image.append(made);
  };
  label(plot.unit(highest), 2, 12, "start");
  label(shortClock(first), 2, HEIGHT - 4, "start");
  label(shortClock(first + span), width - 2, HEIGHT - 4, "end");
  return image;
}

function shortClock(time) {
  return new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

// What a screen reader says in place of the image: the last value of each series and the highest
function sentence(plot, lines, times) {
  const parts = lines.map(([name, values]) => {
    const known = values.filter((value) => value !== null);
    return `${name}: ${plot.unit(known[known.length - 1])} at last, at most ${plot.unit(Math.max(...known))}`;
  });
  return `${plot.title} from ${shortClock(times[0])} to ${shortClock(times[times.length - 1])}. ${parts.join(". ")}`;
}

// The newest row first. Of many samples, each row is the last that has a value in its part of the time
function updateTable(table, plot, lines, times) {
  const step = Math.ceil(times.length / ROWS);
  const head = element("tr");
  for (const name of ["Time", ...lines.map(([each]) => each)]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    head.append(cell);
  }
  const rows = [head];
  for (let end = times.length; end > 0; end -= step) {
    const row = element("tr");
    const time = element("th", "", shortClock(times[end - 1]));
    time.scope = "row";
    row.append(time);
    for (const [, values] of lines) {
      const known = values.slice(Math.max(0, end - step), end).filter((value) => value !== null);
      row.append(element("td", "", known.length ? plot.unit(known[known.length - 1]) : "–"));
    }
    rows.push(row);
  }
  const caption = element("caption", "unseen", plot.title);
  table.replaceChildren(caption, ...rows);
}

async function lookBack() {
  try {
    const answer = await fetch(address("ui/history"), { cache: "no-store" });
    if (answer.ok) showHistory(await answer.json());
  } catch {
    // the request for the state reports it
  }
}

// On a phone the pods come first, for the eyes as for keyboards and screen readers
const phone = window.matchMedia("(max-width: 46rem)");
function arrange() {
  const main = at("main");
  if (phone.matches) main.prepend(at("pods"));
  else main.append(at("pods"));
  if (shown.history) showHistory(shown.history);
}
phone.addEventListener("change", arrange);
window.addEventListener("resize", () => shown.history && showHistory(shown.history));
arrange();

// --- again and again ---

async function textOf(path, query) {
  try {
    const answer = await fetch(address(path, query), { cache: "no-store" });
    return await answer.text();
  } catch (error) {
    return `(${error.message})`;
  }
}

async function look() {
  try {
    const answer = await fetch(address("ui/state"), { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
  } catch (error) {
    document.body.dataset.site = "bad";
    say(at("verdict"), `the sidecar does not answer: ${error.message}`);
  }
}

function show(state) {
  shown.state = state;
  showSite(state);
  showAccounts(state.accounts);
  showPartitions(state.partitions, state.site.reachable);
  showTroubles(state.troubles);
  showPods(state);
  const failed = state.counts.failed || 0;
  document.title = `${failed ? `(${failed} failed) ` : ""}remote-slurm`;
}

// Send the next request only after the last reply, and none while the page is hidden
function repeat(work, every) {
  const again = async () => {
    if (!document.hidden) await work();
    setTimeout(again, every);
  };
  again();
}

at("find").addEventListener("input", (event) => {
  shown.words = event.target.value.trim().toLowerCase();
  if (shown.state) showPods(shown.state);
});
at("more-troubles").addEventListener("click", () => {
  shown.allTroubles = !shown.allTroubles;
  showTroubles(shown.state.troubles);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target !== at("find")) {
    event.preventDefault();
    at("find").focus();
  } else if (event.key === "Escape" && event.target === at("find")) {
    event.target.value = "";
    event.target.dispatchEvent(new Event("input"));
  }
});
// Up and down go from pod to pod
at("list").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.tagName !== "SUMMARY") return;
  const pods = [...document.querySelectorAll("#list summary")];
  const next = pods[pods.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  look();
  lookBack();
});
repeat(lookBack, HISTORY_EVERY);
repeat(look, EVERY);
repeat(async () => shown.log && readLog(shown.log), LOG_EVERY);
