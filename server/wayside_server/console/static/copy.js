"use strict";

// Beside what is shown once, a button that copies it. Where the browser lets no page at the clipboard, the text is marked.
for (const secret of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret.innerText.trim());
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(secret);
      button.textContent = "Marked; press Ctrl+C";
    }
  });
  secret.after(" ", button);
}
