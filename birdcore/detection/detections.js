// Species to look at and listen to: searched, and opened by links of the table.
for (const box of document.querySelectorAll("[data-filter]")) {
  const input = box.querySelector("input");
  const said = box.querySelector("output");
  const all = [...box.querySelectorAll("details")];
  const show = () => {
    const wanted = input.value.trim().toLowerCase().split(/\s+/);
    let shown = 0;
    for (const one of all) {
      const text = one.querySelector("summary").textContent.toLowerCase();
      one.hidden = !wanted.every((word) => text.includes(word));
      shown += !one.hidden;
    }
    said.textContent = `${shown} of ${all.length} shown`;
  };
  input.addEventListener("input", show);
  show();
}

const showLinked = () => {
  const one = document.getElementById(location.hash.slice(1));
  if (one instanceof HTMLDetailsElement) {
    one.open = true;
    one.hidden = false;
    one.scrollIntoView();
  }
};
addEventListener("hashchange", showLinked);
showLinked();
