// `drover config schema` as a validator of others sees it: a good schema, which accepts whatever our own check accepts, and refuses what is plainly wrong.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const TOP = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const BUILD = process.env.DROVER_BUILD || join(TOP, 'build');
const load = createRequire(join(process.env.DROVER_SCHEMA || join(BUILD, 'schema'), 'x.js'));
const Ajv = load('ajv/dist/2020').default, YAML = load('yaml');

function drover(...argv) {
  const p = spawnSync(join(BUILD, 'drover'), argv, { encoding: 'utf8', timeout: 60000 });
  assert.equal(p.error, undefined);
  return p;
}

const text = { pipeline: drover('config', 'schema', 'pipeline').stdout, site: drover('config', 'schema', 'site').stdout };
const schema = { pipeline: JSON.parse(text.pipeline), site: JSON.parse(text.site) };
const ajv = () => new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictTuples: false, strictRequired: false, validateFormats: false });
const valid = { pipeline: ajv().compile(schema.pipeline), site: ajv().compile(schema.site) };

// As an editor reads it: YAML 1.2, anchors and merges.
const tree = (s) => YAML.parse(s, { version: '1.2', merge: true, stringKeys: true, maxAliasCount: -1 });

const folder = mkdtempSync(join(tmpdir(), 'drover-schema-'));
after(() => rmSync(folder, { recursive: true }));

// Our own check: whether it accepts, and what it says.
function check(kind, s) {
  const path = join(folder, kind === 'site' ? 'master.yaml' : 'x.yml');
  writeFileSync(path, s);
  const p = drover('config', 'check', path);
  assert.ok(p.status === 0 || p.status === 2, p.stderr);
  return { ok: p.status === 0, why: p.stderr };
}

test('it is stable, and a schema', () => {
  assert.equal(drover('config', 'schema').stdout, text.pipeline);
  assert.equal(drover('config', 'schema', 'site').stdout, text.site);
  assert.equal(drover('config', 'schema', 'nothing').status, 2);
  for (const s of Object.values(schema)) {
    assert.equal(s.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.ok(ajv().validateSchema(s));
    for (const [name, def] of Object.entries(s.$defs)) {
      assert.equal(def.additionalProperties, false, name);
      for (const [key, value] of Object.entries(def.properties))
        assert.ok(value.description?.length > 10, `${name}.${key}`);
    }
  }
});

// Each key's example, in its own place.
test('the example of each key', () => {
  let n = 0;
  for (const s of Object.values(schema)) {
    const all = ajv().addSchema(s, 'drover');
    for (const [name, def] of Object.entries(s.$defs))
      for (const [key, value] of Object.entries(def.properties)) {
        const example = value.description.split(' Example: ')[1];
        assert.ok(example, `${name}.${key}`);
        const one = all.compile({ $ref: `drover#/$defs/${name}/properties/${key}` });
        assert.ok(one(tree(example)[key]), `${name}: ${example}: ${JSON.stringify(one.errors)}`);
        n++;
      }
  }
  assert.ok(n > 90, `${n}`);
});

// What stands in the documentation, in tests of modules (literals of C put end to end), of the whole (long strings of Python and JavaScript), and in the fuzzer's seeds.
function texts() {
  const found = [];
  const add = (path, s) => /(^|[\s{])"?(steps|builders|projects|workers|templates)"?:/.test(s) && found.push([path, s]);
  const files = (dir, end) => readdirSync(join(TOP, dir)).filter((f) => f.endsWith(end)).map((f) => join(dir, f));
  for (const path of ['README', ...files('docs', '.md')]) {
    const body = readFileSync(join(TOP, path), 'utf8');
    for (const m of body.matchAll(/```yaml\n(.*?)```/gs))
      for (const part of m[1].split(/^---$/m))
        add(path, part);
  }
  for (const path of ['pipeline', 'pipeline_refused', 'matrix', 'template', 'conf', 'conf_diff'].map((x) => `tests/unit/test_${x}.c`)) {
    const body = readFileSync(join(TOP, path), 'utf8').replace(/^#define T .*$/m, '');
    for (const m of body.matchAll(/"(?:[^"\\\n]|\\.)*"(?:\s*\n?\s*"(?:[^"\\\n]|\\.)*")*/g)) {
      const s = [...m[0].matchAll(/"((?:[^"\\\n]|\\.)*)"/g)].map((x) => x[1]).join('');
      add(path, s.replace(/\\x([0-9a-f]{2})/g, '?').replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c === 't' ? '\t' : c)));
    }
  }
  for (const [path, re] of [...files('tests/flow', '.py').map((p) => [p, /r?"""(.*?)"""/gs]), ...files('tests/browser', '.mjs').map((p) => [p, /`([^`]*)`/g])])
    for (const m of readFileSync(join(TOP, path), 'utf8').matchAll(re))
      add(path, m[1].replaceAll('\\\\', '\\'));
  for (const path of files('tests/fuzz/seeds/fuzz_yaml', '.yml'))
    add(path, readFileSync(join(TOP, path), 'utf8'));
  return found;
}

// What the schema refuses our own check refuses too.
test('whatever our own check accepts', () => {
  const accepted = { pipeline: 0, site: 0 };
  let refused = 0;
  for (const [path, s] of texts()) {
    const kind = /^"?(site|projects|workers|listen)"?:/m.test(s) ? 'site' : 'pipeline';
    let t;
    try {
      t = tree(s);
    } catch { // no YAML
      continue;
    }
    if (valid[kind](t)) {
      accepted[kind]++;
      continue;
    }
    const errors = valid[kind].errors.slice(0, 5);
    assert.equal(check(kind, s).ok, false, `${path}:\n${s}\n${JSON.stringify(errors, null, 1)}`);
    refused++;
  }
  assert.ok(accepted.pipeline > 40 && accepted.site > 5 && refused > 50, JSON.stringify([accepted, refused]));
});

const BAD = {
  pipeline: [
    '[a]', 'a', '{}', 'steps: a', 'steps: []', 'steps: [[a]]', 'steps: [{}]', 'steps: [{run: }]', 'steps: [{run: {a: b}}]', 'steps: [{run: []}]', 'steps: [{run: [a, {}]}]', 'steps: [{run: [""]}]',
    'stepz: [a]', 'steps: [{run: a, tiemout: 1m}]', 'steps: [a]\ntimeout: 1h', 'steps: [a]\nworkers: {}', 'steps: [a]\nneeds: b', 'steps: [a]\nbuilders: {a: {steps: [a]}}',
    'steps: [{run: a, timeout: 30}]', 'steps: [{run: a, timeout: 30 m}]', 'steps: [{run: a, name: a/b}]', 'steps: [{run: a, cwd: /tmp}]', 'steps: [{run: a, cwd: a/../..}]', 'steps: [{checkout: none}]',
    'steps: [{run: a, checkout: {}}]', 'steps: [{run: a, env: {DROVER_X: 1}}]', 'steps: [{run: a, env: {1A: x}}]', 'steps: [{run: a, env: {A: }}]', 'steps: [{run: a, env: {A: [x]}}]', 'steps: [{run: a, env: [A=1]}]',
    'steps: [{run: a, if: 3}]', 'steps: [{run: a, if: }]', 'steps: [{run: a, with: {x: 1}}]', 'steps: [{use: t, with: 1}]', 'steps: [{use: t, with: {a: [1]}}]', 'steps: [{use: t, run: a}]', 'steps: [{use: a b}]',
    'builders: {a: }', 'builders: {a: 1}', 'builders: {a/b: {steps: [a]}}', 'builders: {a: {checkout: a/b, steps: [a]}}', 'builders: {a: {checkout: [], steps: [a]}}', 'builders: {a: {checkout: [{depth: 1}], steps: [a]}}', 'builders: {a: {checkout: {depth: 0}, steps: [a]}}', 'builders: {a: {checkout: {core: {dept: 1}}, steps: [a]}}', 'builders: {a: {worker: {tags: {a: b}}, steps: [a]}}', 'builders: {a: {worker: {tags: [a b]}, steps: [a]}}',
    'builders: {a: {matrix: [gcc], steps: [a]}}', 'builders: {a: {matrix: , steps: [a]}}', 'builders: {a: {matrix: {}, steps: [a]}}', 'builders: {a: {matrix: {CC: []}, steps: [a]}}', 'builders: {a: {matrix: {CC: {a: b}}, steps: [a]}}',
    'builders: {a: {matrix: {CC: [a/b]}, steps: [a]}}', 'builders: {a: {matrix: {CC: [~]}, steps: [a]}}', 'builders: {a: {matrix: {CC: [1, 1]}, steps: [a]}}', 'builders: {a: {matrix: {C-C: [1]}, steps: [a]}}',
    'builders: {a: {matrix: {DROVER_X: [1]}, steps: [a]}}', 'builders: {a: {matrix: {A: [1], exclude: [{}]}, steps: [a]}}', 'builders: {a: {matrix: {A: [1], include: [3]}, steps: [a]}}',
    'templates: {t: {}}\nsteps: [a]', 'templates: {t: {steps: []}}\nsteps: [a]', 'templates: {t: {parameters: {p: {}}, steps: [a]}}\nsteps: [a]', 'templates: {t: {parameters: {p: {type: text}}, steps: [a]}}\nsteps: [a]',
    'templates: {t: {parameters: {p: {type: choice}}, steps: [a]}}\nsteps: [a]', 'templates: {t: {parameters: {p: {type: string, choices: [a]}}, steps: [a]}}\nsteps: [a]',
    'templates: {t: {parameters: {p: {type: string, default: }}, steps: [a]}}\nsteps: [a]',
    'steps: [a]\nschedulers: {s: {change: , builders: "a[1,]"}}', 'steps: [a]\nschedulers: {s: {change: {branches: ["a b"]}}}', 'steps: [a]\nschedulers: {s: {change: {branches: -x}}}', 'steps: [a]\nschedulers: {s: {change: , stable: 1}}',
  ],
  site: [
    'workers: {a: {slots: 0}}', 'workers: {a: {slots: many}}', 'workers: {a: {tag: x}}', 'workers: [a]', 'projects: {p: {}}', 'projects: {p: }', 'projects: {p: {git: x, poll: 5}}', 'projects: {p: {git: x, first: never}}',
    'allow_local: "true"', 'allow_local: yes', 'window: 1', 'min_free: 10', 'min_free: 10GB', 'listen: {api: nowhere}', 'helpers: 100', 'site: {url: ci.example.org}', 'trusted_proxies: [here]', 'steps: [a]',
    'projects: {p: {git: x, hook: {}}}', 'projects: {p: {git: x, hook: {dialect: cvs}}}', 'projects: {p: {git: x, steps: [a], builders: {b: {steps: [a]}}}}', 'projects: {p: {git: x, steps: [{run: a, nam: x}]}}',
  ],
};

test('what is plainly wrong, as our own check', () => {
  for (const [kind, list] of Object.entries(BAD))
    for (const s of list) {
      assert.equal(check(kind, s + '\n').ok, false, s);
      assert.equal(valid[kind](tree(s)), false, s);
    }
});
