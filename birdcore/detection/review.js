// A clip at a time: it plays, a key gives a verdict, and the next one comes when that is on the disk.
// Names of files and species are others' text: they are set as text, never as HTML.
"use strict";
const at = (id) => document.getElementById(id);
const KEYS = { y: "yes", n: "no", u: "unsure", o: "other" };
const pieces = new Map();
let clips = [], classes = [], now = 0, busy = false;

async function ask(path, content) {
  const headers = { authorization: `Basic ${localStorage.getItem("prefect-password") ?? ""}` };
  const options = content === undefined ? { headers }
    : { method: "POST", headers, body: JSON.stringify(content) };
  let answer;
  try {
    answer = await fetch(`/api/${path}`, options);
  } catch {
    throw new Error("birdflow review has ended: start it again and open the address that it prints");
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function piece(clip) {
  if (!pieces.has(clip.id)) {
    if (pieces.size > 4) pieces.delete(pieces.keys().next().value);
    const asked = ask(`clips/${clip.id}`);
    asked.catch(() => pieces.delete(clip.id));
    pieces.set(clip.id, asked);
  }
  return pieces.get(clip.id);
}

const words = (verdict) => verdict.answer === "other" ? `it is ${called(verdict.other)}` : verdict.answer;
const called = (code) => classes.find((one) => one.code === code)?.name ?? code;
const title = (clip) => clip.common_name || clip.scientific_name || clip.code;
const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function counts() {
  const done = clips.filter((clip) => clip.verdict).length;
  at("count").textContent = `${done} of ${clips.length}`;
  at("done").max = Math.max(clips.length, 1);
  at("done").value = done;
  const different = clips.filter((clip) => Object.keys(clip.others).length);
  at("differ").hidden = !different.length;
  at("differ").querySelector("ul").replaceChildren(...different.map((clip) => {
    const item = document.createElement("li");
    const go = document.createElement("button");
    go.type = "button";
    go.textContent = `${title(clip)}, ${clip.file}, ${clock(clip.start_s)}`;
    go.addEventListener("click", () => show(clips.indexOf(clip)));
    const theirs = Object.entries(clip.others).map(([who, said]) => `${who}: ${words(said)}`);
    item.append(go, [`you: ${words(clip.verdict)}`, ...theirs].join(" · "));
    return item;
  }));
}

async function show(number) {
  now = number;
  const clip = clips[now];
  at("clip").hidden = !clip;
  at("end").hidden = Boolean(clip);
  at("other").hidden = true;
  at("sound").pause();
  counts();
  if (!clip) return;
  at("clip").dataset.id = "";
  at("name").textContent = title(clip);
  at("scientific").textContent = clip.scientific_name === title(clip) ? "" : clip.scientific_name;
  at("place").textContent = `${clip.file}, ${clock(clip.start_s)} to ${clock(clip.end_s)}`;
  at("confidence").textContent = clip.confidence.toFixed(2);
  for (const button of document.querySelectorAll("[data-answer]")) {
    button.setAttribute("aria-pressed", String(clip.verdict?.answer === button.dataset.answer));
  }
  try {
    const made = await piece(clip);
    if (clips[now] !== clip) return;
    at("missing").hidden = !made.reason;
    at("missing").textContent = made.reason ? `it can't be played: ${made.reason}` : "";
    document.querySelector(".sonagram").hidden = at("sound").hidden = Boolean(made.reason);
    at("clip").dataset.id = clip.id;
    if (!made.reason) {
      at("picture").src = made.picture;
      at("part").style.left = `${100 * made.part[0]}%`;
      at("part").style.right = `${100 - 100 * made.part[1]}%`;
      at("khz").textContent = `${Number(made.highest_khz.toPrecision(3))} kHz`;
      at("sound").src = made.sound;
      at("sound").play().catch(() => {}); // a browser may want a key before the first sound
    }
    if (clips[now + 1]) piece(clips[now + 1]).catch(() => {});
  } catch (error) {
    at("message").textContent = error.message;
  }
}

function following() {
  const later = clips.findIndex((clip, number) => number > now && !clip.verdict);
  const any = later >= 0 ? later : clips.findIndex((clip) => !clip.verdict);
  return any >= 0 ? any : clips.length;
}

async function say(answer, other = "") {
  const clip = clips[now];
  if (!clip || busy) return;
  busy = true;
  try {
    clips[clips.indexOf(clip)] = await ask(`clips/${clip.id}/verdict`, { answer, other });
    at("message").textContent = "";
    await show(following());
  } catch (error) {
    at("message").textContent = `not saved: ${error.message}`;
  } finally {
    busy = false;
  }
}

function answer(name) {
  if (name !== "other") return say(name);
  at("other").hidden = false;
  at("class").value = "";
  at("class").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape") at("other").hidden = true;
  if (event.target.id === "class") return;
  if (KEYS[event.key.toLowerCase()] && clips[now]) answer(KEYS[event.key.toLowerCase()]);
  else if (event.key === "ArrowLeft" && now > 0) show(now - 1);
  else if (event.key === "ArrowRight" && now < clips.length) show(now + 1);
  else if (event.key === " " && event.target.tagName !== "BUTTON") {
    if (at("sound").paused) at("sound").play().catch(() => {}); else at("sound").pause();
  } else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => { button.blur(); answer(button.dataset.answer); });
}
at("other").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = at("class").value.trim();
  const known = classes.find((one) => [one.name, one.code].includes(given));
  if (given) say("other", known ? known.code : given);
});

ask("clips").then((said) => {
  ({ clips, classes } = said);
  at("who").textContent = said.annotator;
  at("classes").replaceChildren(...classes.map((one) => new Option(one.code, one.name)));
  const first = clips.findIndex((clip) => !clip.verdict);
  return show(first >= 0 ? first : clips.length);
}).catch((error) => { at("message").textContent = error.message; });
