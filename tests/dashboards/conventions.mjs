// Checks what Grafana's types cannot say: the conventions of dashboard-linter and of this project.
import { readFileSync } from 'node:fs';

const files = process.argv.slice(2);
const dashboards = files.map((file) => ({ file, json: JSON.parse(readFileSync(file, 'utf8')) }));
const uids = new Set(dashboards.map(({ json }) => json.uid));
const problems = [];

for (const { file, json } of dashboards) {
    const wrong = (what) => problems.push(`${file}: ${what}`);
    checkWhole(json, wrong);
    for (const panel of allPanels(json).filter((panel) => panel.type !== 'row')) {
        checkPanel(panel, (what) => wrong(`panel ${panel.id} "${panel.title}": ${what}`));
    }
    checkPlaces(json.panels, wrong);
    for (const row of json.panels.filter((panel) => panel.collapsed)) checkPlaces(row.panels, wrong);
    const ids = allPanels(json).map(({ id }) => id);
    if (new Set(ids).size !== ids.length) wrong('two panels share an id');
}
if (uids.size !== dashboards.length) problems.push('two dashboards share a uid');

for (const problem of problems) console.error(problem);
const count = dashboards.flatMap(({ json }) => allPanels(json).flatMap((panel) => panel.targets ?? [])).length;
console.log(`${dashboards.length} dashboards, ${count} queries, ${problems.length} problems`);
process.exitCode = problems.length > 0 || dashboards.length === 0 ? 1 : 0;

// The panels of a collapsed row are inside of it.
function allPanels(json) {
    return json.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
}

function checkWhole(json, wrong) {
    if (!/^keyhound-[a-z]+$/.test(json.uid)) wrong(`uid "${json.uid}" is not keyhound-NAME`);
    if (json.id !== undefined) wrong('an id belongs to one Grafana: leave it out');
    if (json.schemaVersion < 39 || json.schemaVersion > 42) wrong(`schemaVersion ${json.schemaVersion} is not 39 to 42`);
    if (json.editable !== false) wrong('editable is not false');
    const variables = json.templating.list.map((variable) => variable.name);
    for (const needed of ['datasource', 'job', 'instance', 'keyhound_url', 'alertmanager_url']) {
        if (!variables.includes(needed)) wrong(`there is no variable ${needed}`);
    }
    for (const link of json.links) {
        if (!leadsSomewhere(link.url)) wrong(`a link leads to ${link.url}, which is neither shipped nor a variable`);
    }
    if (!json.annotations.list.some(({ expr }) => expr?.includes('ALERTS'))) wrong('alerts are not annotated');
}

function leadsSomewhere(url) {
    return uids.has(url.replace('/d/', '')) || /^\$\{(keyhound|alertmanager)_url\}\//.test(url);
}

function checkPanel(panel, wrong) {
    if (!panel.title || !panel.description) wrong('it has no title or no description');
    const { unit, noValue, links = [] } = panel.fieldConfig.defaults;
    if (!unit) wrong('it has no unit');
    if (!noValue) wrong('it says "No data" instead of a noValue');
    for (const { url } of links) if (!leadsSomewhere(url)) wrong(`a link leads to ${url}`);
    checkColours(panel, wrong);
    const refIds = panel.targets.map(({ refId }) => refId);
    if (new Set(refIds).size !== refIds.length) wrong('two queries share a refId');
    for (const { expr } of panel.targets) checkQuery(expr, wrong);
}

// By alphabet, critical would be green.
function checkColours(panel, wrong) {
    if (!panel.targets.some(({ legendFormat }) => legendFormat.includes('{{severity}}'))) return;
    const coloured = panel.fieldConfig.overrides.map(({ matcher }) => matcher.options).join();
    for (const severity of ['critical', 'high', 'medium', 'low', 'info']) {
        if (!coloured.includes(severity)) wrong(`severity ${severity} has no colour of its own`);
    }
}

function checkQuery(expr, wrong) {
    for (const [selector, name, matchers = ''] of expr.matchAll(/\b((?:keyhound|process)_[a-z_]+|up)\b(\{[^}]*\})?/g)) {
        for (const matcher of ['job=~"$job"', 'instance=~"$instance"']) {
            if (!matchers.includes(matcher)) wrong(`${selector} does not match ${matcher}`);
        }
        // What a replay finds is read as it is: it counts before anybody scrapes, so no rate would ever see it.
        const counter = /_(total|bucket)$/.test(name) && !/^keyhound_(digest_mismatches|replay_gaps)_total$/.test(name);
        const rated = new RegExp(`(rate|increase)\\(${name}\\{[^}]*\\}\\[\\$__(rate_interval|range)\\]\\)`);
        if (counter && !rated.test(expr)) wrong(`${name} is a counter and not under rate or increase`);
    }
}

function checkPlaces(panels, wrong) {
    for (const [index, { gridPos: a, title }] of panels.entries()) {
        if (a.x + a.w > 24) wrong(`"${title}" is wider than the page`);
        for (const { gridPos: b, title: other } of panels.slice(index + 1)) {
            const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
            if (!apart) wrong(`"${title}" and "${other}" overlap`);
        }
    }
}
