/** A registry of npm packages for as long as a test runs: what npm asks to install them, answered from their archives. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface Registry extends AsyncDisposable {
  readonly url: string;
  readonly manifests: readonly Manifest[];
  /** The archives that were fetched. */
  readonly fetched: readonly string[];
}

function manifestIn(archive: string): Manifest {
  const { stdout } = spawnSync('tar', ['-xzOf', archive, 'package/package.json'], { encoding: 'utf8' });
  return JSON.parse(stdout) as Manifest;
}

/** Serve the archives (`npm pack`) in a folder, each as the only version of its package. */
export async function serveArchives(folder: string): Promise<Registry> {
  const archives = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  const manifests = archives.map((name) => manifestIn(join(folder, name)));
  const fetched: string[] = [];
  const server = createServer(({ url = '' }, response) => {
    const archive = archives.find((name) => url.endsWith(`/${name}`));
    const index = manifests.findIndex(({ name }) => url === `/${name}`);
    if (archive !== undefined) {
      fetched.push(archive);
      response.end(readFileSync(join(folder, archive)));
    } else if (index >= 0) {
      const { name, version } = manifests[index]!;
      const integrity = `sha512-${createHash('sha512').update(readFileSync(join(folder, archives[index]!))).digest('base64')}`;
      const dist = { tarball: `${address()}/${archives[index]}`, integrity };
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions: { [version]: { ...manifests[index], dist } } }));
    } else response.writeHead(404, { 'Content-Type': 'application/json' }).end('{}');
  });
  const address = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: address(),
    manifests,
    fetched,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
