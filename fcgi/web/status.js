"use strict";
const PERIOD_MS = 1000, SECONDS = 300, SVG = "http://www.w3.org/2000/svg";
const byId = id => document.getElementById(id);
let history = {}, last = 0, startedAt = 0, timer = 0, isPaused = false, seen = 0;

// Writes only what has changed, so that nothing is laid out or read out for nothing.
function write(node, text) {
    if (node.textContent !== text) node.textContent = text;
}
function make(parent, tag, text = "", className = "") {
    const node = parent.appendChild(document.createElement(tag));
    if (text) node.textContent = text;
    if (className) node.className = className;
    return node;
}

const digits = (value, fraction) => value.toLocaleString("en", { maximumFractionDigits: fraction });
const number = value => value === null ? "–" : digits(value, value < 10 ? 2 : value < 100 ? 1 : 0);
function time(us) {
    if (us === null) return "–";
    return us < 1000 ? `${us} µs` : us < 1e6 ? `${number(us / 1e3)} ms` : `${number(us / 1e6)} s`;
}
function span(seconds) {
    const units = [[86400, "d"], [3600, "h"], [60, "min"]].find(unit => seconds >= unit[0]);
    return units ? `${Math.floor(seconds / units[0])} ${units[1]}` : `${Math.floor(seconds)} s`;
}
const bytes = value => value === null ? "–" : `${number(value / 1048576)} MiB`;
const percent = permille => permille === null ? "–" : `${number(permille / 10)} %`;
const cores = millicores => millicores === null ? "–" : `${number(millicores / 1000)} CPU`;
const count = value => value === null ? "–" : digits(value, 0);

// A tile: its title, its figures as [text, name] of an answer, its curves of the history, and how their values are written.
const tiles = [
    { title: "Requests a second", curves: ["requests"], write: count, figures: s => [[number(s.rate.requests), "requests/s"]] },
    { title: "Errors a second", curves: ["errors"], write: count, figures: s => [[number(s.rate.errors), "5xx/s"]] },
    { title: "Latency", curves: ["p50_us", "p95_us", "p99_us"], write: time,
      figures: s => ["p50", "p95", "p99"].map(name => [time(s.latency_us[name]), name]) },
    { title: "Waiting for a worker", curves: ["queue_depth"], write: count,
      figures: s => [[count(s.queue.depth), s.queue.capacity === null ? "in the queue" : `of ${count(s.queue.capacity)} places`]] },
    { title: "Time in the queue", curves: ["queue_wait_us"], write: time,
      figures: s => ["p50", "p95"].map(name => [time(s.queue.wait_us[name]), name]) },
    { title: "CPU used", curves: ["cpu_millicores"], write: cores,
      figures: s => [[number(s.cpu.used_cores), s.cpu_limit_cores === null ? "CPUs, no limit" : `of ${number(s.cpu_limit_cores)} CPU`]] },
    { title: "Throttled", curves: ["throttled_permille"], write: percent,
      figures: s => [[s.cpu.throttled_ratio === null ? "–" : percent(s.cpu.throttled_ratio * 1000),
                      s.cpu.throttled_ratio === null ? "no CPU limit" : "of the periods cut short"]] },
];

for (const tile of tiles) {
    const section = make(byId("tiles"), "section", "", "tile");
    make(section, "h2", tile.title);
    tile.values = make(section, "p");
    tile.svg = section.appendChild(document.createElementNS(SVG, "svg"));
    tile.svg.setAttribute("viewBox", `0 0 ${SECONDS - 1} 100`);
    tile.svg.setAttribute("preserveAspectRatio", "none");
    tile.svg.setAttribute("role", "img");
    tile.paths = tile.curves.map(() => tile.svg.appendChild(document.createElementNS(SVG, "path")));
    const note = make(section, "p", "", "note");
    make(note, "span", "last 5 min");
    tile.most = make(note, "span");
}

function drawTile(tile, answer) {
    tile.figures(answer).forEach(([text, name], i) => {
        const figure = tile.values.children[i] || make(tile.values, "span");
        if (!figure.firstChild) { make(figure, "b"); make(figure, "span"); }
        write(figure.firstChild, text);
        write(figure.lastChild, name);
    });
    const most = tile.curves.reduce((top, name) => history[name].reduce((a, b) => Math.max(a, b), top), 0);
    tile.curves.forEach((name, i) => {
        const values = history[name];
        let line = "", pen = "M";
        values.forEach((value, k) => {
            if (value === null) { pen = "M"; return; }
            const y = most > 0 ? 98 - 96 * value / most : 98;
            line += `${pen}${SECONDS - values.length + k} ${y.toFixed(1)}`;
            // A lone point is a line of no length, which round ends make visible.
            if (pen === "M") line += "h0";
            pen = "L";
        });
        tile.paths[i].setAttribute("d", line);
    });
    const isKnown = tile.curves.some(name => history[name].some(value => value !== null));
    write(tile.most, isKnown ? `at most ${tile.write(most)}` : "no figures");
    tile.svg.setAttribute("aria-label", `${tile.title}, the last five minutes: ${tile.most.textContent}`);
}

// The first word of a state, and what it means.
const states = {
    starting: ["warn", "Starting", "no worker is up yet"],
    serving: ["good", "Serving", "requests find a worker"],
    saturated: ["warn", "Saturated", "requests wait for a worker all the time"],
    "no-worker": ["bad", "No worker", "nothing is answered; the log says why they do not start"],
    draining: ["warn", "Draining", "what is queued and running is answered, then the pool ends"],
};

function drawState(kind, word, because) {
    byId("state").className = kind;
    write(byId("word"), word);
    write(byId("because"), because);
}

function rows(body, amount, columns) {
    while (body.children.length > amount) body.lastChild.remove();
    while (body.children.length < amount) {
        const row = make(body, "tr");
        make(row, "th").scope = "row";
        for (let i = 1; i < columns; i++) make(row, "td");
    }
    return body.children;
}

function drawWorkers(workers) {
    const body = rows(byId("workers"), workers.length, 10);
    workers.forEach((w, i) => {
        const cells = [count(w.worker), String(w.pid), w.state, count(w.requests), w.busy_us ? time(w.busy_us) : "–",
                       w.cpu_percent === null ? "–" : `${number(w.cpu_percent)} %`, bytes(w.rss_bytes),
                       span(w.age_seconds), count(w.restarts), w.last_restart || "–"];
        cells.forEach((text, k) => write(body[i].children[k], text));
    });
}

function drawEvents(events) {
    const list = byId("events"), newest = events.length ? events[events.length - 1].number : 0;
    if (newest === seen) return;
    seen = newest;
    list.replaceChildren();
    for (const event of events.slice().reverse()) {
        const item = make(list, "li", "", event.level), at = new Date(event.time * 1000);
        const when = make(item, "time", at.toLocaleString());
        when.dateTime = at.toISOString();
        item.append(event.text);
    }
}

function drawTotals(s) {
    const sum = object => Object.values(object).reduce((a, b) => a + b, 0);
    const named = object => Object.entries(object).filter(entry => entry[1] > 0 && entry[0] !== "total")
        .map(([name, value]) => `${name.replace("_", " ")}: ${count(value)}`).join(", ");
    const items = [["Up for", span(s.uptime_seconds)], ["Requests", `${count(s.requests.total)} (${named(s.requests) || "none"})`],
                   ["Not served", named(s.refused) || "none"],
                   ["Workers restarted", sum(s.restarts) ? `${count(sum(s.restarts))} (${named(s.restarts)})` : "none"],
                   ["Requests that outlived their worker", count(s.replays)],
                   ["Connections open", count(s.connections.open)]];
    items.forEach(([name, text], i) => {
        const pair = byId("totals").children[i] || make(byId("totals"), "div");
        if (!pair.firstChild) { make(pair, "dt", name); make(pair, "dd"); }
        write(pair.lastChild, text);
    });
}

function remember(answer) {
    // Another pool, or one that has seen less than we have.
    if (answer.started_at !== startedAt || answer.history.last < last) history = {};
    startedAt = answer.started_at;
    last = answer.history.last;
    for (const name of Object.keys(answer.history).filter(key => Array.isArray(answer.history[key])))
        history[name] = (history[name] || []).concat(answer.history[name]).slice(-SECONDS);
}

function draw(s) {
    const [kind, word, because] = states[s.state];
    remember(s);
    const advice = s.state === "saturated" && s.cpu_limit_cores !== null ? "; a higher CPU limit would serve more" : "";
    drawState(kind, word, `for ${span(s.state_seconds)}: ${because}${advice}`);
    document.title = `${word} – fibcgi`;
    write(byId("about"), `${s.application}, version ${s.version}`);
    tiles.forEach(tile => drawTile(tile, s));
    const limit = s.cpu_limit_cores === null ? "No CPU limit" : `The CPU limit is ${number(s.cpu_limit_cores)} CPU`;
    write(byId("why"), `${limit}. Workers: ${s.workers_wanted} wanted, ${s.workers_up} up, ${s.workers_busy} busy.`);
    drawWorkers(s.workers);
    drawEvents(s.events);
    drawTotals(s);
    write(byId("updated"), `as of ${new Date(s.time * 1000).toLocaleTimeString()}`);
}

async function refresh() {
    clearTimeout(timer);
    const asked = performance.now();
    try {
        const answer = await fetch(`${location.pathname}?json&since=${last}`, { signal: AbortSignal.timeout(5000) });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        draw(await answer.json());
    } catch (error) {
        drawState("bad", "No answer", `the pool does not answer here (${error.message}); what follows is old`);
    }
    if (!isPaused && !document.hidden) timer = setTimeout(refresh, Math.max(0, PERIOD_MS - (performance.now() - asked)));
}

byId("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    byId("pause").setAttribute("aria-pressed", String(isPaused));
    if (!isPaused) refresh(); else clearTimeout(timer);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !isPaused) refresh(); });
refresh();
