// The calls that both servers are given. A row has a name and steps; each row starts from the same tree.
// `BASE` in an argument becomes the directory that the tree is in.

import { MEDIA_NAMES } from './tree.mjs';

const rows = [];

function row(tool, args, note = '') {
    rows.push({ name: `${tool} ${JSON.stringify(args)}${note}`, steps: [[tool, args]] });
}

function sequence(name, ...steps) {
    rows.push({ name, steps });
}

// Text files: whole, from the head, from the tail.
const TEXTS = `a.txt no_newline.txt empty.txt newline.txt newlines.txt crlf.txt cr.txt bom.txt nul.txt separators.txt
    invalid.bin unicode.txt long_lines.txt many_lines.txt across_blocks.txt`.split(/\s+/);
for (const path of TEXTS) {
    row('read_text_file', { path });
    row('read_file', { path });
    for (const count of [1, 2, 3, 4, 1000, 2999, 3000, 0, -1, 1.5, 0.5]) {
        row('read_text_file', { path, head: count });
        row('read_text_file', { path, tail: count });
    }
}
row('read_file', { path: 'a.txt', head: 1 });
row('read_text_file', { path: 'a.txt', head: 1, tail: 1 });
row('read_text_file', { path: 'a.txt', head: 0, tail: 1 });
row('read_text_file', { path: 'missing', head: 1, tail: 1 });
for (const path of ['missing', 'dir', 'dangling', 'link_outside', 'loop']) {
    row('read_text_file', { path, head: 1 });
    row('read_text_file', { path, tail: 1 });
}

// Path rules, with a tool of each kind.
const PATHS = [
    '', '.', './', 'a.txt', 'a.txt/', './a.txt', 'dir/../a.txt', 'dir//one.txt', 'missing/../a.txt', '//a.txt', '/',
    'BASE', 'BASE/files', 'BASE/files/', 'BASE/files//a.txt', 'BASE/files/./a.txt', 'BASE/files/../files/a.txt',
    '../files/a.txt', '../second/in_second.txt', 'in_second.txt', 'BASE/second', 'BASE/second/in_second.txt',
    '../outside/secret.txt', 'BASE/outside/secret.txt', 'BASE/files-sibling/x.txt', '../files-sibling/x.txt',
    'BASE/link_to_files/a.txt', '/etc/passwd', '../../../../../../../../etc/passwd',
    '~', '~/in_home.txt', '~user', '~/../files/a.txt', 'C:', 'C:\\x', 'c:/x', 'C:x', 'back\\slash', 'dir\\one.txt',
    'blank ', 'blank', ' blank', ' a.txt', '"quoted"', 'quoted', '%41', 'A', 'file:///a.txt',
    'missing', 'missing/x', 'missing/x/y', 'a.txt/x', 'a.txt/x/y', 'dir', 'dir/', 'empty', 'dir/sub/deep',
    'link', 'link_chain', 'link_directory', 'link_directory/one.txt', 'link_directory_absolute/sub', 'link_second',
    'link_through_outside', 'link_outside', 'link_outside_directory', 'link_outside_directory/secret.txt',
    'link_outside_directory/missing', 'dangling', 'dangling/x', 'dangling_outside', 'loop', 'loop/x',
    'dir/sub/link_up/three.bin/x', 'dir/sub/link_file', 'dir/sub/link_outside/secret.txt', 'dir/sub/link_dangling',
    'nfc_\u00e9.txt', 'nfc_e\u0301.txt', 'nfd_\u00e9.txt', 'nfd_e\u0301.txt', 'both_\u00e9.txt', 'both_e\u0301.txt',
    'dir_e\u0301', 'dir_e\u0301/x.txt', 'dir_e\u0301/missing', 'two_\u1e69.txt', 'two_s\u0307\u0323.txt',
    'a\0b', 'x'.repeat(255), 'x'.repeat(256), 'd/'.repeat(2500),
];
for (const path of PATHS) {
    for (const tool of ['read_text_file', 'get_file_info', 'list_directory']) row(tool, { path });
    row('read_multiple_files', { paths: [path, 'no_newline.txt'] });
    row('edit_file', { path, edits: [{ oldText: 'no such text', newText: '' }] });
    // The whole machine is no tree to list twice.
    if (path === '/' || path === 'BASE') continue;
    for (const tool of ['read_media_file', 'list_directory_with_sizes', 'directory_tree']) row(tool, { path });
    row('search_files', { path, pattern: '**/*.txt' });
    row('write_file', { path, content: 'written' });
    row('create_directory', { path });
    row('move_file', { source: path, destination: 'moved' });
    row('move_file', { source: 'no_newline.txt', destination: path });
}

// Blanks that look alike.
for (const path of ['shot PM.txt', 'shot\u202fPM.txt', 'shot\u00a0PM.txt']) {
    for (const tool of ['read_file', 'read_text_file', 'read_media_file', 'get_file_info']) row(tool, { path });
    row('read_text_file', { path, head: 1 });
    row('read_multiple_files', { paths: [path] });
    row('write_file', { path, content: 'written' });
    row('edit_file', { path, edits: [{ oldText: 'blank', newText: 'space' }] });
    row('move_file', { source: path, destination: 'moved' });
}

for (const name of MEDIA_NAMES) row('read_media_file', { path: `media/${name}` });
row('read_media_file', { path: 'dir' });
row('read_multiple_files', { paths: ['a.txt', 'missing', 'dir', '../outside/secret.txt', 'empty.txt', 'a.txt', 'invalid.bin'] });
row('read_multiple_files', { paths: ['BASE/files/a.txt', './dir/one.txt'] });
row('list_allowed_directories', {});

// Lists, sizes, trees.
for (const path of ['.', 'dir', 'dir/sub', 'media', 'empty', 'sizes', 'globs', 'link_directory', 'BASE/second', 'a.txt', 'missing']) {
    row('list_directory', { path });
    for (const sortBy of [undefined, 'name', 'size']) row('list_directory_with_sizes', { path, sortBy });
    row('directory_tree', { path });
}
const TREE_EXCLUSIONS = [
    [], ['node_modules'], ['sub'], ['*.txt'], ['**/*.txt'], ['.hidden', 'sub/deep'], ['x'], ['one.txt', 'nothing'],
    ['*'], ['**'], ['**/sub'], ['sub/*'], ['sub/**'], ['dir'], ['dir/sub'], ['deep/'], ['./sub'], ['!sub'], ['#'], [''],
    ['{sub,node_modules}'], ['s?b'], ['[ns]*'], ['.*'], ['SUB'], ['two.md', '*.js'],
];
for (const excludePatterns of TREE_EXCLUSIONS) {
    row('directory_tree', { path: 'dir', excludePatterns });
    row('directory_tree', { path: '.', excludePatterns });
}

// Globs, as what is searched for and as what is left out.
const GLOBS = [
    '', '*', '**', '***', '**/', '/**', '*/', './*', '.', '..', '*.js', '**/*.js', '**/*.test.js', '*.{js,ts}', '**/*.{md,js}',
    '{a,b}.*', 'file{1..2}.txt', 'file{1..10}.txt', 'file{01..10}.txt', 'file{10..1..3}.txt', '{a,{b,U*}}*', '{a}', '{a,b', 'a,b}',
    'file?.txt', 'file??.txt', '?', '[ab].*', '[!ab].*', '[^ab].*', '[a-b].*', '[]x]*', '[[]x].txt', '[x].txt', '\\[x\\].txt',
    '[[:upper:]]*', '[[:alpha:]].*', '[[:digit:]]*', '*[0-9].txt', '{y}.txt', '\\{y\\}.txt', 'st\\*r.txt', 'st*r.txt', 'qu\\?.txt',
    '!z.txt', '!*.txt', '!**/*.js', '!!*.js', '\\!z.txt', '#w.txt', '\\#w.txt', '[#]w.txt', '.dot', '.*', '**/.*', '.git/**', '**/config',
    'src', 'src/', 'src/*', 'src/**', 'src/**/*.js', 'src/*/a.js', '*/a.js', '**/a.js', '**/lib/**', '**/lib', '*/*', '*/*/*', '**/*',
    '**/**', '**/**/a.js', 'a**', '**a', 'src/**a.js', '**.js', 'docs/a/**', 'docs/**/c.md', 'src/../a.js', 'src//a.js',
    '+(a)b', '*(a)b', '?(a)ab', '@(aab|x)', '@(a.js|b.ts)', '!(a.js)', '!(*.txt|*.js)', '+([a-z]).js', 'a@(a)b', 'ab(c)', 'ab\\(c\\)', 'ab\\(c\\)/*',
    '*.TS', '*.ts', 'upper.ts', '**/é.js', '**/e\u0301.js', '**/?.js', '(a|b).js', 'a.js|b.ts', 'a.js ', ' a.js', 'globs/a.js', 'BASE/files/globs/a.js',
];
for (const pattern of GLOBS) {
    row('search_files', { path: 'globs', pattern });
    row('search_files', { path: 'globs', pattern: '**', excludePatterns: [pattern] });
    row('directory_tree', { path: 'globs', excludePatterns: [pattern] });
}
for (const path of ['.', 'link_directory', 'dir/sub', 'a.txt', 'missing']) {
    for (const pattern of ['**', '*', '**/*.txt', '**/link*', '**/deep/**', 'nothing']) {
        row('search_files', { path, pattern });
        row('search_files', { path, pattern, excludePatterns: ['node_modules', '**/sub', '*.md'] });
    }
}

// Writing, making, moving.
for (const content of ['', 'text', 'é漢😀\n', 'a\r\nb', '\uFEFFx', '\0']) row('write_file', { path: 'new.txt', content });
row('write_file', { path: 'mode.txt', content: 'the mode stays' });
row('write_file', { path: 'dir/new.txt', content: 'x' });
row('write_file', { path: 'BASE/second/new.txt', content: 'x' });
row('write_file', { path: 'nfc_e\u0301.txt', content: 'into the composed one' });
row('create_directory', { path: 'one/two/three' });
row('create_directory', { path: 'one/../two/./three/' });
row('create_directory', { path: 'link_directory/new' });
row('create_directory', { path: 'dir_e\u0301/new' });
const MOVES = [
    ['a.txt', 'b.txt'], ['a.txt', 'a.txt'], ['a.txt', 'empty.txt'], ['a.txt', 'empty'], ['a.txt', 'empty/a.txt'], ['a.txt', 'missing/a.txt'],
    ['a.txt', 'BASE/second/a.txt'], ['a.txt', '../outside/a.txt'], ['../outside/secret.txt', 'a2.txt'], ['dir', 'dir2'], ['dir', 'dir/inside'],
    ['dir', 'empty'], ['dir', 'empty/dir'], ['empty', 'empty2'], ['link', 'link2'], ['link_directory', 'ld'], ['link_outside', 'lo'], ['dangling', 'd'],
    ['loop', 'l'], ['a.txt', 'dangling'], ['a.txt', 'link'], ['a.txt', 'link_outside'], ['a.txt', 'link_outside_directory/a.txt'],
    ['a.txt', 'link_directory/a.txt'], ['a.txt', 'both_\u00e9.txt'], ['nfc_e\u0301.txt', 'n.txt'], ['a.txt', 'nfc_e\u0301.txt'], ['missing', 'a.txt'],
    ['missing', 'b'], ['mode.txt', 'mode2.txt'], ['a.txt', 'a.txt/x'], ['.', 'x'], ['a.txt', ''], ['', 'x'], ['a.txt', 'x'.repeat(256)],
];
for (const [source, destination] of MOVES) row('move_file', { source, destination });
sequence(
    'what is written, moved and edited is read',
    ['write_file', { path: 'w.txt', content: 'one\ntwo\n' }],
    ['move_file', { source: 'w.txt', destination: 'dir/w.txt' }],
    ['edit_file', { path: 'dir/w.txt', edits: [{ oldText: 'one', newText: '1' }] }],
    ['read_text_file', { path: 'dir/w.txt' }],
    ['list_directory', { path: 'dir' }],
    ['search_files', { path: '.', pattern: '**/w.txt' }],
);

// Edits: each as it is and as a dry run.
function edits(path, ...pairs) {
    const list = pairs.map(([oldText, newText]) => ({ oldText, newText }));
    row('edit_file', { path, edits: list });
    row('edit_file', { path, edits: list, dryRun: true });
}
edits('a.txt');
edits('a.txt', ['beta', 'BETA']);
edits('a.txt', ['beta', 'beta']);
edits('a.txt', ['alpha\nbeta\ngamma\n', '']);
edits('a.txt', ['', 'first\n']);
edits('a.txt', ['missing', 'x']);
edits('a.txt', ['missing\ntwice', 'x']);
edits('a.txt', ['alpha', 'a'], ['a', 'b'], ['gamma', 'c']);
edits('a.txt', ['alpha', 'a'], ['missing', 'b']);
edits('a.txt', ['gamma\n', 'gamma']);
edits('a.txt', ['ALPHA', 'a']);
edits('a.txt', ['  beta  ', 'x']);
edits('a.txt', ['\talpha\n   beta', 'x\n  y\nz']);
edits('no_newline.txt', ['two', 'two\n']);
edits('no_newline.txt', ['two', '2']);
edits('no_newline.txt', ['one', '1']);
edits('empty.txt', ['', 'filled']);
edits('empty.txt', ['x', 'filled']);
edits('newline.txt', ['\n', '']);
edits('newlines.txt', ['\n\n', 'x']);
edits('crlf.txt', ['b\n', 'B\n']);
edits('crlf.txt', ['a\r\nb', 'x\r\ny']);
edits('crlf.txt', ['b', 'b\nmore']);
edits('cr.txt', ['b', 'x']);
edits('bom.txt', ['hi', 'ho']);
edits('bom.txt', ['\uFEFFhi', 'ho']);
edits('nul.txt', ['a', 'b']);
edits('invalid.bin', ['a', 'b']);
edits('unicode.txt', ['é漢😀', 'x']);
edits('separators.txt', ['c', 'C']);
edits('repeated.txt', ['same', 'once']);
edits('repeated.txt', ['same\nsame', 'pair']);
edits('regexp.txt', ['a.b*c', '$& $1 $$ $`']);
edits('regexp.txt', ['.*', 'x']);
edits('fence.md', ['code', 'kode']);
edits('fence.md', ['```\ncode', '`````\ncode']);
edits('mode.txt', ['mode', 'the mode stays']);
edits('long_lines.txt', ['last', 'LAST']);
edits('many_lines.txt', ['line 10\n', 'ten\n'], ['line 2000\n', ''], ['line 2004\n', 'line 2004\nmore\n']);
edits('many_lines.txt', ['line 10\n', ''], ['line 18\n', ''], ['line 27\n', '']);
edits('link', ['alpha', 'through a link']);
edits('link_second', ['second', 'other']);
edits('nfc_e\u0301.txt', ['composed', 'edited']);
edits('dir', ['a', 'b']);
edits('code.py', ['return 1', 'return 42']);
edits('code.py', ['if x:\n    return 1', 'if y:\n    return 2\n    z()']);
edits('code.py', ['if x:\n        return 1', 'if y:\n            return 2\n  z()']);
edits('code.py', ['  if x:\n return 1', 'while y:\n\treturn 2\n\n\tz()']);
edits('code.py', ['def f():\n if x:', 'def g(a):\n if y:\n  pass']);
edits('code.py', ['class A:\npass', 'class B:\n\tpass\n\tx = 1']);
edits('code.py', ['  if x:\n    return 1', '  if x:\n    print(x)\n    print(y)\n    return 1\n  z()']);
edits('code.py', ['pass', 'pass\n```\n````']);
edits('code.py', ['\n\n\nclass', '\nclass']);
edits('code.py', ['return 2\n\n\n\n', 'x']);

// Edits of random texts: the search that is tolerant of white space, and the diff, in all their corners.
let seed = 20260831;
function random(below) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >> 8) % below;
}
const choose = (list) => list[random(list.length)];
for (let i = 0; i < 150; i++) {
    const text = Array.from({ length: random(16) }, () => choose(['a', 'b', '  c', '\td', '', ' e ', '    f', 'a'])).join('\n') + choose(['', '\n', '\n\n']);
    const lines = text.split('\n');
    const from = random(lines.length);
    const oldText = lines.slice(from, from + 1 + random(3)).map((line) => choose([line, line.trim(), `  ${line}`, `${line} `])).join('\n');
    const newText = Array.from({ length: random(4) }, () => ' '.repeat(random(5)) + choose(['q', 'a', 'b', '', '\tz'])).join('\n');
    sequence(
        `random edit ${i} ${JSON.stringify([text, oldText, newText])}`,
        ['write_file', { path: 'random.txt', content: text }],
        ['edit_file', { path: 'random.txt', edits: [{ oldText, newText }] }],
        ['read_text_file', { path: 'random.txt' }],
    );
}

// Arguments that break the schema, and what is no tool.
const BAD_ARGUMENTS = [
    ['read_text_file', {}], ['read_text_file', { path: 1 }], ['read_text_file', { path: null }], ['read_text_file', { path: ['a.txt'] }],
    ['read_text_file', { path: 'a.txt', head: '1' }], ['read_text_file', { path: 'a.txt', head: null }], ['read_text_file', { path: 'a.txt', more: 1 }],
    ['read_multiple_files', {}], ['read_multiple_files', { paths: [] }], ['read_multiple_files', { paths: 'a.txt' }], ['read_multiple_files', { paths: ['a.txt', 1] }],
    ['write_file', { path: 'new.txt' }], ['write_file', { content: 'x' }], ['edit_file', { path: 'a.txt' }], ['edit_file', { path: 'a.txt', edits: {} }],
    ['edit_file', { path: 'a.txt', edits: '[{"oldText": "beta", "newText": "b"}]' }],
    ['edit_file', { path: 'a.txt', edits: [{ oldText: 'beta', newText: 'b' }], dryRun: 'true' }], ['edit_file', { path: 'a.txt', edits: [{ oldText: 'a' }] }], ['edit_file', { path: 'a.txt', edits: [], dryRun: 'yes' }],
    ['list_directory_with_sizes', { path: '.', sortBy: 'date' }], ['search_files', { path: '.' }], ['search_files', { path: '.', pattern: '*', excludePatterns: '*' }],
    ['directory_tree', { path: '.', excludePatterns: [1] }], ['move_file', { source: 'a.txt' }], ['no_such_tool', {}],
];
for (const [tool, args] of BAD_ARGUMENTS) row(tool, args, ' (arguments)');

export { rows };
