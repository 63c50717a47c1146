// Tables that can be sorted and searched. Of a long one the first rows are shown, until asked for.
"use strict";
const FIRST = 100;

for (const box of document.querySelectorAll("[data-table]")) {
  const body = box.querySelector("tbody");
  const rows = [...body.rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const input = box.querySelector("input");
  const said = box.querySelector("output");
  const more = box.querySelector(".more");
  const found = new Map(rows.map((row, at) => [row, words[at]]));
  let order = rows;
  let all = rows.length <= FIRST;

  const show = () => {
    const wanted = input ? input.value.trim().toLowerCase().split(/\s+/) : [""];
    const fits = order.filter((row) => wanted.every((word) => found.get(row).includes(word)));
    const shown = all ? fits : fits.slice(0, FIRST);
    body.replaceChildren(...shown);
    if (said) said.textContent = `${shown.length} of ${rows.length}`;
    if (more) {
      more.hidden = shown.length === fits.length;
      more.textContent = `show all ${fits.length}`;
    }
  };

  const value = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.value;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given);
  };

  box.querySelectorAll("th button").forEach((button) => {
    const head = button.closest("th");
    button.addEventListener("click", () => {
      const column = head.cellIndex;
      const down = head.getAttribute("aria-sort") === "ascending" || (!head.ariaSort && head.classList.contains("n"));
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      order = [...order].sort((one, two) => {
        const [a, b] = [value(one, column), value(two, column)];
        if (a === null || b === null) return (a === null) - (b === null);
        const way = typeof a === "number" ? a - b : a.localeCompare(b);
        return down ? -way : way;
      });
      show();
    });
  });
  if (input) input.addEventListener("input", show);
  if (more) more.addEventListener("click", () => { all = true; show(); });
  show();
}

// One sound at a time.
document.addEventListener("play", (event) => {
  for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
}, true);
