// The long tables are sorted, filtered and shown in pages; without this they stand there whole.
const words = JSON.parse(document.getElementById("words").textContent);
const paged = [];
for (const table of document.querySelectorAll("table.sortable")) {
  const region = table.closest(".scroll");
  const long = table.tBodies[0].rows.length > 12;
  const shown = new DataTable(table, {
    language: words,
    order: [],
    autoWidth: false,
    paging: long,
    searching: long,
    info: long,
    pageLength: 10,
    lengthMenu: [10, 25, 100, 500],
  });
  const pages = shown.table().container().querySelector("nav");
  pages?.setAttribute("aria-label", `${words.pages}: ${table.caption.textContent}`);
  if (long) paged.push(shown);
  // What scrolls is the table alone, without its controls, and the keyboard must reach it.
  const inner = table.closest(".dt-layout-table");
  for (const name of ["role", "aria-labelledby", "tabindex"]) {
    inner.setAttribute(name, region.getAttribute(name));
    region.removeAttribute(name);
  }
}
// What is folded away, or on another page of a table, is printed all the same.
let folded = [];
let lengths = [];
addEventListener("beforeprint", () => {
  lengths = paged.map((table) => table.page.len());
  for (const table of paged) table.page.len(-1).draw();
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  paged.forEach((table, at) => table.page.len(lengths[at]).draw());
  for (const details of folded) details.open = false;
});
