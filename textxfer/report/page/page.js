"use strict";

// Tables sort by a click on a head, or by Enter or Space where it has the focus.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const numbers = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : numbers;
    const key = (row) => {
      const cell = row.cells[column];
      if (!numbers) return cell.textContent;
      return cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value);
    };
    const compare = numbers ? (a, b) => a - b : new Intl.Collator(undefined, { numeric: true }).compare;
    const keyed = [...body.rows].map((row) => [key(row), row]);
    keyed.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
    body.append(...keyed.map((pair) => pair[1]));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }));
}

// Rows are shown that hold the text searched for, the label chosen and, if so switched, an error.
for (const explorer of document.querySelectorAll("[data-explorer]")) {
  const [search, choice, wrong, shown] = ["search", "choice", "wrong", "shown"].map(
    (name) => explorer.querySelector(`[data-${name}]`));
  const rows = [...explorer.querySelector("tbody").rows].map((row) => ({
    row,
    text: row.textContent.toLowerCase(),
    tags: row.dataset.tags.split(" "),
    wrong: row.classList.contains("wrong"),
  }));
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const one of rows) {
      const fits = one.text.includes(wanted) && (choice.value === "" || one.tags.includes(choice.value))
        && (one.wrong || !wrong.checked);
      one.row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  for (const control of [search, choice, wrong]) control.addEventListener("input", filter);
  explorer.querySelector(".controls").hidden = false;
  filter();
}
