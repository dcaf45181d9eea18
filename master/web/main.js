// Puts the parts together.
import { get } from './api.js';
import { h } from './dom.js';
import { build } from './build.js';
import { builder, builders } from './builders.js';
import { buildset } from './buildsets.js';
import { change, changes } from './changes.js';
import { home } from './home.js';
import { startKeys } from './keys.js';
import { request } from './requests.js';
import { startRouter } from './router.js';
import { setFoot, setPage, setTitle, startShell } from './shell.js';
import { watch } from './store.js';
import { startStream } from './stream.js';
import { startClock } from './time.js';
import { worker, workers } from './workers.js';

function nothing(main) {
  setTitle('Not there', null);
  main.replaceChildren(h('div', { class: 'problem', 'data-test': 'problem' }, h('h1', {}, '404'), h('p', {}, 'There is no such page.')));
  return { stop() {} };
}

// A shape's null takes any segment. The last one takes what is left.
const routes = [
  { shape: [], page: 'home', make: home },
  { shape: ['builders'], page: 'builders', make: builders },
  { shape: ['builders', null, null], page: 'builders', make: builder },
  { shape: ['builds', null, null, null], page: 'builders', make: build },
  { shape: ['builds', null, null, null, null], page: 'builders', make: build },
  { shape: ['buildsets', null], page: 'changes', make: buildset },
  { shape: ['changes'], page: 'changes', make: changes },
  { shape: ['changes', null], page: 'changes', make: change },
  { shape: ['requests', null], page: 'home', make: request },
  { shape: ['workers'], page: 'workers', make: workers },
  { shape: ['workers', null], page: 'workers', make: worker },
  { shape: ['\0'], page: '', make: nothing },
];

startShell();
startStream();
startRouter(routes, document.getElementById('main'), setPage);
startKeys({ follow: () => document.querySelector('[data-do="follow"]')?.click() });
startClock();
// The line at the bottom: at the start, and when the master is there again.
watch({ load: (signal) => get(['status'], {}, signal), wants: () => false, shown: setFoot, failed() {} });
