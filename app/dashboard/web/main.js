/** Starts the dashboard: finds out who is logged in, then shows what the address says. */

import { open as logInPage } from "./pages/login.js";
import { Refusal, Unreachable, whenSignedOut } from "./parts/api.js";
import { connection } from "./parts/connection.js";
import { leave, whenLeft } from "./parts/leaving.js";
import { Router } from "./parts/router.js";
import * as sessions from "./parts/session.js";
import { shell } from "./parts/shell.js";
import { ROUTES } from "./routes.js";

const AGAIN_MS = 3_000;

const frame = shell(ROUTES, () => leave());
const router = new Router(ROUTES, frame, (page) => logInPage(page, () => router.go()));

whenLeft(() => router.go());

whenSignedOut(() => {
  if (!sessions.session()) return;
  sessions.forget();
  router.go();
});

sessions.whenChangedElsewhere(async () => {
  const before = sessions.session();
  try {
    await sessions.resume();
  } catch {
    // The next call finds out.
    return;
  }
  if (before || sessions.session()) router.go();
});

let waiting = 0;

async function start() {
  clearTimeout(waiting);
  try {
    await sessions.resume();
  } catch (error) {
    if (!(error instanceof Unreachable) && !(error instanceof Refusal)) throw error;
    connection.lost(AGAIN_MS, start);
    waiting = setTimeout(start, AGAIN_MS);
    return;
  }
  connection.restored();
  router.start();
}

start();
