import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../static",
    emptyOutDir: true,
    // The service sends a strict Content-Security-Policy: nothing may become a data: address or an inline script.
    assetsInlineLimit: 0,
    // The licences of what is bundled ask for their notice to travel along.
    license: { fileName: "licences.md" },
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080", "/v1": "http://127.0.0.1:8080" } },
});
