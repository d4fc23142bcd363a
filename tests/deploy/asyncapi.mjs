// Whether a description of message queues is one: asyncapi.mjs FILE. Needs @asyncapi/parser, found by NODE_PATH.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

// Unlike `import`, `require` looks into NODE_PATH.
const { Parser } = createRequire(import.meta.url)("@asyncapi/parser");

// Beneath these it only gives advice.
const WARNING = 1;

const said = await new Parser().validate(await readFile(process.argv[2], "utf8"));
const wrong = said.filter(({ severity }) => severity <= WARNING);
for (const { path, message } of wrong) console.error(`${path.join(".")}: ${message}`);
process.exitCode = wrong.length ? 1 : 0;
