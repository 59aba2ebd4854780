// Starts a server that says on stderr where it listens, and ends it.

import { spawn } from 'node:child_process';

const START_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 40_000;

// `url` is what it listens on, `log()` what it wrote to stderr. `stop()` ends it and gives what was wrong with it:
// it must still have been running, and nothing of it may have panicked.
export async function startServer(command, options = {}) {
    const child = spawn(command[0], command.slice(1), { ...options, stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    let ended;
    const end = new Promise((resolve) => {
        child.on('error', (error) => resolve((ended = String(error))));
        child.on('close', (code, signal) => resolve((ended = code ?? signal)));
    });
    process.on('exit', () => child.kill('SIGKILL'));
    const url = await new Promise((resolve, reject) => {
        const fail = (reason) => reject(new Error(`${command.join(' ')}: ${reason}: ${log}`));
        const timer = setTimeout(fail, START_WITHIN_MS, 'no address was told');
        end.then((how) => fail(`ended with ${how}`));
        child.stderr.setEncoding('utf8').on('data', (chunk) => {
            log += chunk;
            const found = /^(?:mcpool: )?listening on (\S+)$/m.exec(log);
            if (found && log.endsWith('\n')) {
                clearTimeout(timer);
                resolve(found[1]);
            }
        });
    });
    const stop = async () => {
        const problems = [];
        if (ended !== undefined) problems.push(`the server had ended with ${ended}`);
        child.kill('SIGTERM');
        const timer = setTimeout(() => {
            problems.push(`the server did not end within ${STOP_WITHIN_MS / 1000} s of SIGTERM`);
            child.kill('SIGKILL');
        }, STOP_WITHIN_MS);
        await end;
        clearTimeout(timer);
        if (/panicked/.test(log)) problems.push(`the server panicked: ${log.slice(-2000)}`);
        return problems;
    };
    return { url, pid: child.pid, log: () => log, ended: () => ended, stop };
}
