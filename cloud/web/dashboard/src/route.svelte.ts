/** The page that the address names, and what on it: `#/rollouts/{id}`. A link to either can be sent, and Back works. */

const PATTERN = /^#\/([a-z-]*)(?:\/([A-Za-z0-9._-]{1,64}))?$/;
const ALERT_ID = /^[0-9a-f]{32}$/;

export interface Route {
  /** The first word; empty for the overview. */
  readonly page: string;
  readonly rest: string | null;
}

const START: Route = { page: "", rest: null };

export function parsed(hash: string): Route {
  const found = PATTERN.exec(hash);
  return found === null ? START : { page: found[1] ?? "", rest: found[2] ?? null };
}

export function href(page: string, rest: string | null = null): string {
  return rest === null ? `#/${page}` : `#/${page}/${encodeURIComponent(rest)}`;
}

export function alertHref(id: string): string {
  return href("alerts", id);
}

/** The alert that is to be shown over the overview. */
export function chosenAlert({ page, rest }: Route): string | null {
  return page === "alerts" && rest !== null && ALERT_ID.test(rest) ? rest : null;
}

export function currentRoute() {
  let route = $state.raw(parsed(location.hash));
  return {
    get value() {
      return route;
    },
    follow(moved: (before: Route, after: Route) => void): () => void {
      const read = () => {
        const before = route;
        route = parsed(location.hash);
        moved(before, route);
      };
      window.addEventListener("hashchange", read);
      return () => window.removeEventListener("hashchange", read);
    },
    /** Back to the overview, with nothing on top. */
    clear(): void {
      history.pushState(null, "", location.pathname + location.search);
      route = START;
    },
    go(page: string, rest: string | null): void {
      location.hash = href(page, rest);
    },
  };
}

export type CurrentRoute = ReturnType<typeof currentRoute>;
