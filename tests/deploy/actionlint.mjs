// actionlint.mjs FILE...: what is wrong with the workflows, a line each; ends with 1 when there is something.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const { createLinter } = createRequire(process.env.NODE_PATH + "/")("actionlint");
const lint = await createLinter();
for (const file of process.argv.slice(2)) {
    for (const { line, column, message } of lint(await readFile(file, "utf8"), file)) {
        console.log(`${file}:${line}:${column}: ${message}`);
        process.exitCode = 1;
    }
}
