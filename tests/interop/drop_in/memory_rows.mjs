// The calls that both memory servers are given. A row begins with a file of its own (`null`: none), and has steps.

const rows = [];

function row(name, file, ...steps) {
    rows.push({ name, file, steps });
}

const entity = (name, entityType, ...observations) => JSON.stringify({ type: 'entity', name, entityType, observations });
const relation = (from, to, relationType) => JSON.stringify({ type: 'relation', from, to, relationType });
const SMALL = [
    entity('Ada', 'person', 'wrote the first program', 'knew Babbage'),
    entity('Babbage', 'person', 'built engines'),
    entity('Engine', 'machine'),
    relation('Ada', 'Babbage', 'knows'),
    relation('Babbage', 'Engine', 'built'),
    relation('Nobody', 'Ada', 'admires'),
].join('\n');
const create = (...entities) => ['create_entities', { entities }];
const relate = (...relations) => ['create_relations', { relations }];
const add = (...observations) => ['add_observations', { observations }];
const READ = ['read_graph', {}];

// Reading.
for (const [name, file] of [['no file', null], ['an empty file', ''], ['blank lines', '\n \n\r\n'], ['a small graph', SMALL]]) {
    row(`${name} is read`, file, READ);
    row(`${name} is searched`, file, ['search_nodes', { query: 'ada' }], ['search_nodes', { query: '' }]);
    row(`${name} is opened`, file, ['open_nodes', { names: ['Ada', 'Nobody'] }], ['open_nodes', { names: [] }]);
}
const MIXED = `\n${relation('a', 'b', 'r')}\r\n${entity('a', 't', 'o')}\n\n{ "observations" : [ "x" , "y" ], "name":"b",\t"entityType":"t", "type": "entity" }\n`;
row('lines in any order, with blanks and carriage returns', MIXED, READ, ['open_nodes', { names: ['b', 'a', 'b'] }]);
row('a final newline', `${SMALL}\n`, READ);
row('escapes', String.raw`{"type":"entity","name":"\u00e9\/\ud83d\ude00","entityType":"\u0041\t","observations":["\"\\\b\f\n\r\t\u0001\u007f\u2028","\ud800x"]}`, READ);
row('a name twice in a line', '{"type":"entity","name":"a","name":"b","entityType":"t","observations":[]}', READ);
row('other types and members', `{"type":"note","text":"x"}\n[1]\n1\n"x"\n{"type":"entity","name":"n","entityType":"t","observations":["o"],"more":{"deep":[1]}}`, READ, add({ entityName: 'n', contents: ['p'] }), READ);

// Searching.
const WORDS = [
    entity('Straße', 'Ort', 'ΟΔΟΣ', 'lang'), entity('İstanbul', 'city', 'ıI'), entity('K', 'Kelvin \u212a', 'a "quoted" word', 'back\\slash'),
    entity('漢字', '文字', 'ＡＢＣ'), entity('e\u0301', 'nfd', 'é'), entity('', '', ''), relation('K', '漢字', 'relationOnly'), relation('x', 'y', 'far'),
].join('\n');
for (const query of ['straße', 'STRASSE', 'ß', 'οδος', 'ΟΔΟΣ', 'ς', 'σ', 'i̇stanbul', 'istanbul', 'ı', 'k', 'K', '"quoted"', '\\', '漢', 'ａ', 'é', 'e\u0301',
    'relationOnly', 'observations', 'type', '","', 'ort', ' ', '']) {
    row(`a search for ${query}`, WORDS, ['search_nodes', { query }]);
}

// Cases: sigmas at the end of a word and elsewhere, letters that become two, and those beyond the first plane; written as
// they are, and as escapes.
const CASES = [
    entity('ΣΟΦΟΣ ΟΔΟΣ', 'Σ', 'ΑΣ.', 'ΑΣ\u0301Α', '\u00adΑΣ\u00ad', 'Σ1Σ', 'ΑΣ:Σ'), entity('ẞ ﬀ ŉ', 'ǅ ǆ', 'Ⅷ', 'Ꭰ ꭰ', 'Ω Å'), entity('𐐀𐐨', 'Ա ա', 'Ⴀ ა Ა'),
    entity('İi', 'Iı', 'Ğ'), relation('ΣΟΦΟΣ ΟΔΟΣ', 'İi', 'ends'),
].join('\n');
const ESCAPED = CASES.replace(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
for (const query of ['σοφος', 'σοφοσ', 'ΣΟΦΟΣ', 'ας', 'ασ', 'ας.', 'ασ\u0301α', 'ας\u0301α', '\u00adας', 'σ1σ', 'σ1ς', 'ας:σ', 'ας:ς', 'Σ', 'σ', 'ς', 'ß', 'ẞ', 'ss', 'ff', 'ﬀ', 'ʼn', 'ŉ', 'ǆ', 'ǅ',
    'ⅷ', 'Ꭰ', 'ꭰ', 'ω', 'å', '𐐨', '𐐀', 'ա', 'ა', 'ⴀ', 'i̇i', 'i', 'ı', 'ğ', '\u0307']) {
    row(`a search for ${query} in other cases`, CASES, ['search_nodes', { query }]);
    row(`a search for ${query} in escapes`, ESCAPED, ['search_nodes', { query }]);
}
row('names in escapes', ESCAPED, ['open_nodes', { names: ['ΣΟΦΟΣ ΟΔΟΣ', '𐐀𐐨', 'σοφος οδος'] }], add({ entityName: '𐐀𐐨', contents: ['Ա ա', 'ა'] }), create({ name: 'İi', entityType: 't', observations: [] }),
    relate({ from: 'ΣΟΦΟΣ ΟΔΟΣ', to: 'İi', relationType: 'ends' }), ['delete_observations', { deletions: [{ entityName: 'ΣΟΦΟΣ ΟΔΟΣ', observations: ['Σ1Σ'] }] }], READ, ['delete_entities', { entityNames: ['İi'] }], READ);
// Half of a pair is in files that JavaScript wrote.
const HALVES = String.raw`{"type":"entity","name":"\ud83d","entityType":"t","observations":["\ude00 low","high \ud83d","\ud83d\ude00","\ude00\ud83d"]}`;
row('halves of pairs are searched', `${HALVES}\n${entity('whole', 't', '😀')}`, ['search_nodes', { query: '😀' }], ['search_nodes', { query: 'LOW' }]);
row('halves of pairs stay when an entity changes', HALVES, create({ name: 'whole', entityType: 't', observations: ['😀'] }), ['delete_entities', { entityNames: ['whole'] }], READ);
row('half of a pair in a call', entity('whole', 't', '😀'), ['search_nodes', { query: '\ud83d' }], create({ name: 'a\ude00', entityType: 't', observations: [] }), READ);

// Creating.
const ada = { name: 'Ada', entityType: 'person', observations: ['x'] };
row('entities in no file', null, create(ada), READ);
row('no entities in no file', null, create(), READ);
row('entities that are there', SMALL, create(ada, { name: 'New', entityType: 't', observations: [] }, { ...ada, name: 'ada' }), READ);
row('the same entity twice in a call', SMALL, create({ name: 'N', entityType: '1', observations: [] }, { name: 'N', entityType: '2', observations: ['o'] }), READ,
    ['open_nodes', { names: ['N'] }], add({ entityName: 'N', contents: ['first'] }), ['search_nodes', { query: 'first' }], ['delete_entities', { entityNames: ['N'] }], READ);
row('an entity with all kinds of text', '', create({ name: 'é漢😀\u2028"\\', entityType: '\u0001\b\f\n\r\t', observations: ['', '\u007f', '</script>'] }), READ);
row('an entity with more members', '', create({ ...ada, extra: 1 }), READ);
row('relations in no file', null, relate({ from: 'a', to: 'b', relationType: 'r' }), READ);
row('relations that are there', SMALL, relate({ from: 'Ada', to: 'Babbage', relationType: 'knows' }, { from: 'Babbage', to: 'Ada', relationType: 'knows' },
    { from: 'Ada', to: 'Babbage', relationType: 'Knows' }), READ);
row('the same relation twice in a call', '', relate({ from: 'a', to: 'a', relationType: 'r' }, { from: 'a', to: 'a', relationType: 'r' }), READ,
    ['delete_relations', { relations: [{ from: 'a', to: 'a', relationType: 'r' }] }], READ);
row('lists that are empty', SMALL, create(), relate(), add(), ['delete_entities', { entityNames: [] }], ['delete_observations', { deletions: [] }], ['delete_relations', { relations: [] }], READ);

// Observations.
row('observations', SMALL, add({ entityName: 'Ada', contents: ['new', 'knew Babbage', 'new'] }, { entityName: 'Engine', contents: [] }), READ);
row('observations of one entity twice in a call', SMALL, add({ entityName: 'Ada', contents: ['a'] }, { entityName: 'Ada', contents: ['a', 'b'] }), READ);
row('observations of nobody', SMALL, add({ entityName: 'Ada', contents: ['lost'] }, { entityName: 'Nobody "x"', contents: ['a'] }), READ);
row('observations of nobody, no file', null, add({ entityName: 'Ada', contents: ['lost'] }), READ);
row('observations deleted', SMALL, ['delete_observations', { deletions: [{ entityName: 'Ada', observations: ['knew Babbage', 'unknown'] }, { entityName: 'Nobody', observations: ['x'] }] }], READ);
row('observations that are there twice', entity('a', 't', 'x', 'y', 'x'), ['delete_observations', { deletions: [{ entityName: 'a', observations: ['x'] }] }], READ,
    ['delete_observations', { deletions: [{ entityName: 'a', observations: ['y', 'y'] }, { entityName: 'a', observations: [] }] }], READ);

// Deleting.
row('entities deleted, and their relations', SMALL, ['delete_entities', { entityNames: ['Ada', 'Unknown', 'Ada'] }], READ);
row('an entity that is only in relations', SMALL, ['delete_entities', { entityNames: ['Nobody'] }], READ);
row('all deleted', SMALL, ['delete_entities', { entityNames: ['Ada', 'Babbage', 'Engine'] }], READ, create(ada), READ);
row('relations deleted', SMALL, ['delete_relations', { relations: [{ from: 'Ada', to: 'Babbage', relationType: 'knows' }, { from: 'Ada', to: 'Engine', relationType: 'built' }] }], READ);
row('a life', null, create(ada, { name: 'B', entityType: 't', observations: ['o'] }), relate({ from: 'Ada', to: 'B', relationType: 'r' }), add({ entityName: 'B', contents: ['p'] }),
    ['search_nodes', { query: 'P' }], ['delete_observations', { deletions: [{ entityName: 'B', observations: ['o'] }] }], ['open_nodes', { names: ['B'] }], ['delete_entities', { entityNames: ['B'] }], READ);

// What is no graph.
row('a line that is broken', `${SMALL}\n{"type":"entity",\n${entity('z', 't')}\n`, READ, create(ada), ['open_nodes', { names: ['z'] }]);
row('an entity without a type', '{"type":"entity","name":"n"}', READ);

// Arguments that break the schema, and what is no tool.
for (const [tool, args] of [
    ['create_entities', {}], ['create_entities', { entities: [{ name: 'a' }] }], ['create_entities', { entities: [{ name: 1, entityType: 't', observations: [] }] }],
    ['create_entities', { entities: 'a' }], ['create_relations', { relations: [{ from: 'a', to: 'b' }] }], ['add_observations', { observations: [{ entityName: 'a' }] }],
    ['delete_entities', {}], ['delete_observations', { deletions: [{}] }], ['delete_relations', { relations: null }], ['search_nodes', {}], ['search_nodes', { query: 1 }],
    ['open_nodes', {}], ['open_nodes', { names: [1] }], ['open_nodes', { names: 'Ada' }], ['read_graph', { more: 1 }], ['no_such_tool', {}],
]) {
    row(`${tool} ${JSON.stringify(args)} (arguments)`, SMALL, [tool, args]);
}

// Random graphs, in all corners.
let seed = 20260831;
function random(below) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >> 8) % below;
}
const name = () => ['a', 'b', 'c', 'D', 'é', '"'][random(6)];
const some = (make, most = 3) => Array.from({ length: random(most + 1) }, make);
const made = () => ({ name: name(), entityType: name(), observations: some(name) });
const link = () => ({ from: name(), to: name(), relationType: name() });
const CALLS = [
    () => create(...some(made)), () => relate(...some(link)), () => add(...some(() => ({ entityName: name(), contents: some(name) }))),
    () => ['delete_entities', { entityNames: some(name, 2) }], () => ['delete_relations', { relations: some(link) }],
    () => ['delete_observations', { deletions: some(() => ({ entityName: name(), observations: some(name) })) }],
    () => ['search_nodes', { query: name() }], () => ['open_nodes', { names: some(name) }],
];
for (let i = 0; i < 16; i += 1) {
    row(`random calls ${i}`, null, ...Array.from({ length: 12 }, () => CALLS[random(CALLS.length)]()), READ);
}

export { rows };
