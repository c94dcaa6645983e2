/** The dashboard's pages, in the order of the navigation: one more is a line here and a component. */

import type { Component } from "svelte";

import type { Dashboard } from "./dashboard.svelte";
import { type Mark, rolloutMark } from "./model/rollouts";
import Accuracy from "./pages/Accuracy.svelte";
import Commands from "./pages/Commands.svelte";
import Overview from "./pages/Overview.svelte";
import Rollouts from "./pages/Rollouts.svelte";
import type { CurrentRoute } from "./route.svelte";

export interface PageProps {
  dashboard: Dashboard;
  route: CurrentRoute;
}

export interface Page {
  /** The address's first word: `#/rollouts`. */
  readonly path: string;
  readonly title: string;
  readonly component: Component<PageProps>;
  /** What stands beside its title: that something is under way there, or needs a person. */
  readonly mark?: (dashboard: Dashboard) => Mark | null;
  /** Other first words that show it. */
  readonly also?: readonly string[];
}

const OVERVIEW: Page = { path: "", title: "Overview", component: Overview, also: ["alerts"] };

export const PAGES: readonly Page[] = [
  OVERVIEW,
  { path: "rollouts", title: "Rollouts", component: Rollouts, mark: ({ rollouts }) => rolloutMark(rollouts.open) },
  { path: "commands", title: "Commands", component: Commands },
  { path: "accuracy", title: "Accuracy", component: Accuracy },
];

/** A first word that names none shows the overview. */
export function pageOf(word: string): Page {
  return PAGES.find(({ path, also }) => path === word || also?.includes(word)) ?? OVERVIEW;
}
