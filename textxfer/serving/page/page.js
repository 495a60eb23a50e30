"use strict";

// Texts go into the page as text only: nothing here makes markup of a string.

const find = (id) => document.getElementById(id);
const form = find("form"), button = find("ask"), told = find("told"), warning = find("alert"), found = find("found");
const FIRST = 8;
const labels = document.body.dataset.gives === "labels", pairs = "pairs" in document.body.dataset;
let current = null;

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function percent(share) {
  const shown = share * 100;
  if (shown > 0 && shown < 0.1) return "< 0.1 %";
  if (shown < 100 && shown >= 99.95) return "> 99.9 %";
  return `${shown.toFixed(1)} %`;
}

function bar(share, chosen) {
  const outer = make("div", chosen ? "bar chosen" : "bar"), inner = make("span");
  outer.setAttribute("aria-hidden", "true");
  inner.style.width = `${share * 100}%`;
  outer.append(inner);
  return outer;
}

function warn(lines) {
  warning.textContent = lines.join("\n");
  warning.hidden = lines.length === 0;
}

// The inputs as they stand, or what is missing.
function asked() {
  if (!labels) return { questions: { question: find("question").value, context: find("context").value } };
  const second = find("text_pair").value;
  return { texts: second ? { text: find("text").value, text_pair: second } : find("text").value };
}

function missing() {
  for (const id of labels ? ["text", ...(pairs ? ["text_pair"] : [])] : ["question", "context"]) {
    if (find(id).value.trim() === "") return find(id);
  }
  return null;
}

async function ask(body, signal) {
  const headers = { "Content-Type": "application/json" };
  if (find("token")) headers.Authorization = `Bearer ${find("token").value}`;
  const response = await fetch("predict", { method: "POST", headers, body: JSON.stringify(body), signal });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer.predictions[0];
  const lines = answer.errors || [`The server answered ${response.status}.`];
  throw Object.assign(new Error(lines.join("\n")), { lines });
}

function showLabels(all, chosen) {
  const list = make("ol", "labels");
  for (const each of all) {
    const is = chosen.has(each.label), item = make("li"), line = make("div", "line");
    const name = make("bdi", is ? "label chosen" : "label", each.label);
    line.append(name, make("span", "share", percent(each.score)));
    item.append(line, bar(each.score, is));
    item.hidden = list.children.length >= FIRST;
    list.append(item);
  }
  found.append(list);
  if (all.length > FIRST) {
    const more = make("button", "more", `Show all ${all.length} labels`);
    more.type = "button";
    more.addEventListener("click", () => {
      for (const item of list.children) item.hidden = false;
      more.remove();
      list.children[FIRST].tabIndex = -1;
      list.children[FIRST].focus();
    });
    found.append(more);
  }
  const names = all.filter((each) => chosen.has(each.label)).map((each) => `${each.label}, ${percent(each.score)}`);
  return names.length ? names.join("; ") : "None of the labels applies.";
}

function showAnswer(answer, context) {
  if (answer.answer === "") {
    found.append(make("p", "answer none", "The context does not say."));
  } else {
    const words = make("p", "answer", answer.answer);
    words.dir = "auto";
    found.append(words);
  }
  const sure = make("p", "sure");
  sure.append(make("span", "", "How sure the model is"), make("span", "", percent(answer.score)));
  found.append(sure, bar(answer.score, true));
  // The server counts code points, a script UTF-16 units.
  const points = Array.from(context), passage = make("p", "context"), part = (from, to) => points.slice(from, to).join("");
  passage.dir = "auto";
  passage.tabIndex = 0;
  passage.setAttribute("role", "region");
  passage.setAttribute("aria-label", "The answer in its context");
  // An answer that was written may stand nowhere in the context: -1.
  const start = Math.max(answer.start, 0), end = Math.max(answer.end, 0);
  passage.append(part(0, start));
  if (end > start) passage.append(make("mark", "", part(start, end)));
  passage.append(part(end));
  found.append(passage);
  const mark = passage.querySelector("mark");
  if (mark) passage.scrollTop = mark.offsetTop - passage.offsetTop - passage.clientHeight / 2;
  return answer.answer === "" ? "The context does not say." : `${answer.answer}, ${percent(answer.score)}`;
}

function showCommand(body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const token = find("token") ? ' -H "Authorization: Bearer $TOKEN"' : "";
  find("command").textContent =
    `curl ${new URL("predict", location.href)} -H 'Content-Type: application/json'${token} \\\n  -d '${quoted}'`;
  find("program").hidden = false;
}

async function submit() {
  const empty = missing();
  if (empty) {
    warn([`${form.querySelector(`label[for=${empty.id}]`).textContent} is empty.`]);
    empty.focus();
    return;
  }
  if (current) current.abort();
  const mine = current = new AbortController();
  const body = asked(), began = performance.now();
  button.setAttribute("aria-busy", "true");
  told.textContent = "Asking the model…";
  warn([]);
  try {
    const bodies = labels ? [{ ...body, top_k: null }, { ...body, top_k: "set" }] : [body];
    const [first, second] = await Promise.all(bodies.map((each) => ask(each, mine.signal)));
    const seconds = (performance.now() - began) / 1000;
    found.replaceChildren();
    const words = labels
      ? showLabels(first.labels, new Set(second.labels.map((each) => each.label)))
      : showAnswer(first, body.questions.context);
    const time = seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${seconds.toFixed(1)} s`;
    told.replaceChildren(make("span", "unseen", `${words}. `), `Answered in ${time}.`);
    showCommand(bodies[0]);
    find("result").scrollIntoView({ block: "nearest" });
  } catch (error) {
    if (error.name === "AbortError") return;
    found.replaceChildren();
    told.textContent = "";
    warn(error.lines || ["The server cannot be reached. Is it still running?"]);
  } finally {
    if (current === mine) {
      current = null;
      button.removeAttribute("aria-busy");
    }
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    submit();
  }
});
