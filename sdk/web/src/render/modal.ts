/** A modal is the browser's own dialog: it moves, holds and gives back the focus, and everything else is inert. */
export function openModal(dialog: HTMLDialogElement, isDismissible: boolean, dismissed: () => void): () => void {
  if (!isDismissible) {
    dialog.closedBy = "none";
    // For browsers without `closedBy`.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
  }
  dialog.addEventListener("close", dismissed);
  dialog.tabIndex = -1;
  dialog.showModal();
  // So that Enter presses nothing by accident.
  dialog.focus();
  return () => dialog.close();
}
