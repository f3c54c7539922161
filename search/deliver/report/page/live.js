// A live page asks its server whether the study went on, and then reloads.
"use strict";
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch("revision");
    if ((await answer.text()) !== document.body.dataset.revision) location.reload();
  } catch {
    document.getElementById("state").textContent = "The page is not live any more: its command has ended.";
  }
}, 10000);
