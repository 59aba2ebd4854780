// The tree that both servers work on, and what can be seen of it afterwards.
//
// BASE/files and BASE/second are allowed, BASE/outside and BASE/files-sibling are not, BASE/home is the home
// directory. Servers may hold the allowed directories open, so `build` fills them anew without replacing them.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import path from 'node:path';

// 22:13:20 UTC on 14 November 2023: a time at which zones with and without daylight saving differ.
const MODIFIED = new Date(1_700_000_000_000);

// Short of what the kernel takes in one call: a server that walks by handles can make deeper trees.
const MAX_PATH_BYTES = 3000;

const lines = (count, line) => Array.from({ length: count }, (_, i) => line(i)).join('');

// A number makes a file of so many zero bytes that takes no space.
const FILES = {
    'files/a.txt': 'alpha\nbeta\ngamma\n',
    'files/no_newline.txt': 'one\ntwo',
    'files/empty.txt': '',
    'files/newline.txt': '\n',
    'files/newlines.txt': '\n\n\n',
    'files/crlf.txt': 'a\r\nb\r\nc\r\n',
    'files/cr.txt': 'a\rb\r\rc\r',
    'files/bom.txt': '\uFEFFhi\n',
    'files/nul.txt': 'a\0b',
    'files/separators.txt': 'a\u2028b\u2029c\u0085d\n',
    'files/invalid.bin': Buffer.from('61ff fe c328 e2827a f09f98 eda080 c0af f8808080 0a'.replaceAll(' ', ''), 'hex'),
    'files/unicode.txt': lines(400, () => 'é漢😀\n'),
    'files/long_lines.txt': `${'x'.repeat(5000)}\n${'y'.repeat(3000)}\nlast\n`,
    'files/many_lines.txt': lines(3000, (i) => `line ${i}\n`),
    'files/across_blocks.txt': `${'é'.repeat(511)}\r\n${'b'.repeat(1023)}\r\n${'漢'.repeat(700)}\nlast\r`,
    'files/code.py': 'def f():\n    if x:\n        return 1\n    return 2\n\n\nclass A:\n\tpass\n',
    'files/repeated.txt': 'same\nsame\nsame\n',
    'files/fence.md': 'text\n```\ncode\n```\n',
    'files/regexp.txt': 'a.b*c [x] $1 \\1 ^$\n',
    'files/mode.txt': 'mode\n',
    'files/C:x': 'no drive',
    'files/blank ': 'a blank behind',
    'files/ blank': 'a blank before',
    'files/"quoted"': 'quotes',
    'files/back\\slash': 'a backslash',
    'files/%41': 'no escape',
    'files/~user': 'no home',
    'files/nfc_\u00e9.txt': 'composed',
    'files/nfd_e\u0301.txt': 'decomposed',
    'files/both_\u00e9.txt': 'both, composed',
    'files/both_e\u0301.txt': 'both, decomposed',
    'files/two_\u1e69.txt': 'two forms, one',
    'files/two_s\u0323\u0307.txt': 'two forms, the other',
    'files/shot\u202fPM.txt': 'a blank that nobody types',
    'files/dir_\u00e9/x.txt': 'in a composed directory',
    'files/dir/one.txt': '1'.repeat(10),
    'files/dir/two.md': '2'.repeat(2000),
    'files/dir/B.txt': 'B',
    'files/dir/_u.txt': 'u',
    'files/dir/-d.txt': 'd',
    'files/dir/1.txt': 'n',
    'files/dir/10.txt': 'n',
    'files/dir/\u00e9.txt': 'e',
    'files/dir/e.txt': 'e',
    'files/dir/f.txt': 'f',
    'files/dir/a-very-long-name-that-exceeds-thirty-characters.txt': 'l',
    'files/dir/漢😀.txt': 'c',
    'files/dir/.hidden/x': 'h',
    'files/dir/sub/three.bin': 3_000_000,
    'files/dir/sub/deep/four.txt': '4',
    'files/dir/node_modules/p/index.js': 'js',
    'files/sizes/0': '',
    'files/sizes/1': '1',
    'files/sizes/1023': 1023,
    'files/sizes/1024': 1024,
    'files/sizes/1025': 1025,
    'files/sizes/1048575': 1_048_575,
    'files/sizes/1048576': 1_048_576,
    'files/sizes/5000000': 5_000_000,
    'files/globs/a.js': '',
    'files/globs/b.ts': '',
    'files/globs/Upper.TS': '',
    'files/globs/.dot': '',
    'files/globs/.git/config': '',
    'files/globs/[x].txt': '',
    'files/globs/{y}.txt': '',
    'files/globs/!z.txt': '',
    'files/globs/#w.txt': '',
    'files/globs/st*r.txt': '',
    'files/globs/qu?.txt': '',
    'files/globs/file1.txt': '',
    'files/globs/file2.txt': '',
    'files/globs/file10.txt': '',
    'files/globs/src/a.js': '',
    'files/globs/src/lib/a.js': '',
    'files/globs/src/lib/a.test.js': '',
    'files/globs/src/lib/é.js': '',
    'files/globs/docs/a.md': '',
    'files/globs/docs/a/b/c.md': '',
    'files/globs/aab/x': '',
    'files/globs/ab(c)/x': '',
    'second/in_second.txt': 'the second directory',
    'files-sibling/x.txt': 'a sibling',
    'outside/secret.txt': 'secret',
    'home/in_home.txt': 'home',
};

const MEDIA = `img.png IMG.JPG i.jpeg g.gif w.webp b.bmp s.svg m.mp3 w.wav o.ogg f.flac x.bin .png ..png noext a.png.txt
    dot.`.split(/\s+/).concat('blank #%?é.dat');
MEDIA.forEach((name, i) => {
    FILES[`files/media/${name}`] = Buffer.from(Array.from({ length: i + 1 }, (_, byte) => (byte * 37 + i) % 256));
});

const AREAS = ['files', 'second', 'files-sibling', 'outside', 'home'];
const DIRECTORIES = ['files/empty', 'files/dir/sub/nothing', 'files/media', 'home/directory'];

// `BASE` at the start makes a link absolute.
const LINKS = {
    'files/link': 'a.txt',
    'files/link_chain': 'link',
    'files/link_directory': 'dir',
    'files/link_directory_absolute': 'BASE/files/dir',
    'files/link_second': 'BASE/second/in_second.txt',
    'files/link_through_outside': '../files/a.txt',
    'files/link_outside': 'BASE/outside/secret.txt',
    'files/link_outside_directory': '../outside',
    'files/dangling': 'nowhere',
    'files/dangling_outside': '../outside/nothing',
    'files/loop': 'loop',
    'files/dir/sub/link_up': '../sub',
    'files/dir/sub/link_file': '../one.txt',
    'files/dir/sub/link_outside': '../../../outside',
    'files/dir/sub/link_dangling': 'x',
    'link_to_files': 'files',
};

const MODES = { 'files/mode.txt': 0o741, 'files/code.py': 0o600 };

export const MEDIA_NAMES = MEDIA;

// Makes what is missing and removes `changed`, which is all if nothing is known of the tree.
export function build(base, changed = undefined) {
    for (const name of AREAS) fs.mkdirSync(path.join(base, name), { recursive: true });
    const entries = AREAS.flatMap((name) => fs.readdirSync(path.join(base, name)).map((entry) => path.join(name, entry)));
    const gone = changed?.filter((entry) => !changed.includes(path.dirname(entry))) ?? entries;
    // `rm` also removes what is too deep for a path.
    if (gone.length > 0) execFileSync('rm', ['-rf', '--', ...gone.map((entry) => path.join(base, entry))]);
    const isMissing = (full) => fs.lstatSync(full, { throwIfNoEntry: false }) === undefined;
    for (const name of DIRECTORIES) fs.mkdirSync(path.join(base, name), { recursive: true });
    for (const [name, content] of Object.entries(FILES)) {
        const full = path.join(base, name);
        if (!isMissing(full)) continue;
        fs.mkdirSync(path.dirname(full), { recursive: true });
        fs.writeFileSync(full, typeof content === 'number' ? '' : content);
        if (typeof content === 'number') fs.truncateSync(full, content);
        fs.chmodSync(full, MODES[name] ?? 0o644);
    }
    for (const [name, target] of Object.entries(LINKS)) {
        if (isMissing(path.join(base, name))) fs.symlinkSync(target.replace('BASE', base), path.join(base, name));
    }
    for (const name of walk(base)) {
        const status = fs.lstatSync(path.join(base, name));
        if (status.isSymbolicLink() || status.mtimeMs === MODIFIED.getTime()) continue;
        fs.utimesSync(path.join(base, name), MODIFIED, MODIFIED);
    }
}

// Names of all entries, links not followed (`readdir` follows them when it is recursive).
function walk(base, within = '') {
    const full = path.join(base, within);
    if (full.length > MAX_PATH_BYTES) return [];
    return fs.readdirSync(full, { withFileTypes: true }).flatMap((entry) => {
        const name = path.join(within, entry.name);
        return entry.isDirectory() ? [name, ...walk(base, name)] : [name];
    });
}

// What each entry is, with its permission bits and its content: two trees are the same if this is.
export function snapshot(base) {
    const seen = {};
    for (const name of walk(base)) {
        const full = path.join(base, name);
        const status = fs.lstatSync(full);
        const mode = (status.mode & 0o7777).toString(8);
        if (status.isSymbolicLink()) seen[name] = `link to ${fs.readlinkSync(full).replace(base, 'BASE')}`;
        else if (status.isDirectory()) seen[name] = `directory ${mode}`;
        else if (status.size > 100_000) seen[name] = `file ${mode} of ${status.size} bytes`;
        else seen[name] = `file ${mode} ${status.nlink} ${JSON.stringify(fs.readFileSync(full, 'latin1'))}`;
    }
    return seen;
}
