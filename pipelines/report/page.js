// The long tables are sorted, filtered and shown in pages; without this they stand there whole.
const words = JSON.parse(document.getElementById("words").textContent);
for (const table of document.querySelectorAll("table.sortable")) {
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
}
// What is folded away is printed all the same.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of folded) one.open = false;
});
