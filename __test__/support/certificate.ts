/** A key and a certificate for localhost, signed by itself, made anew by openssl for each process. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { freshPath } from './files.ts';

let made: { readonly key: string; readonly cert: string } | undefined;

export function certificate(): { readonly key: string; readonly cert: string } {
  if (made !== undefined) return made;
  const [key, cert] = [freshPath('key.pem'), freshPath('cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' });
  made = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  return made;
}
