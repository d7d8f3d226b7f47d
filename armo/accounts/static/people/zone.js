/* Offers the time zone that the browser is in. */

document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const offer = document.querySelector("[data-armo-browser-zone]");
  const select = document.querySelector("select[name='time_zone']");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const option = [...select.options].find((each) => each.value === zone);
  if (!option || option.selected) return;
  offer.querySelector("span").textContent = zone;
  offer.querySelector("button").addEventListener("click", () => {
    select.value = zone;
    select.focus();
  });
  offer.hidden = false;
});
