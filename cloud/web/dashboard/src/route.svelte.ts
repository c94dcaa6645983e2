/** The alert that the address names (`#/alerts/{id}`), so that a link to one can be sent and Back closes it. */

const PATTERN = /^#\/alerts\/([0-9a-f]{32})$/;

export function alertHref(id: string): string {
  return `#/alerts/${id}`;
}

export function chosenAlert() {
  const named = () => PATTERN.exec(location.hash)?.[1] ?? null;
  let id = $state(named());
  return {
    get id() {
      return id;
    },
    follow(): () => void {
      const read = () => (id = named());
      window.addEventListener("hashchange", read);
      return () => window.removeEventListener("hashchange", read);
    },
    clear(): void {
      history.pushState(null, "", location.pathname + location.search);
      id = null;
    },
  };
}
