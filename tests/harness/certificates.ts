/** An authority of the test's own, and certificates by it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "./fixtures.ts";
import { run } from "./run.ts";

/** Paths of PEM files. */
export type Certificate = { readonly certificate: string; readonly key: string };

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Makes an authority in a new directory. */
export async function makeAuthority(dir: string): Promise<Certificate> {
  mkdirSync(dir);
  const made = { certificate: join(dir, "ca.crt"), key: join(dir, "ca.key") };
  await openssl(
    ...["req", "-x509", ...CURVE, "-days", "3", "-subj", "/CN=an authority for tests"],
    ...[
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-keyout",
      made.key,
      "-out",
      made.certificate,
    ],
  );
  return made;
}

/** Makes a certificate for names such as `DNS:localhost,IP:127.0.0.1`. */
export async function makeCertificate(
  authority: Certificate,
  name: string,
  names: string,
): Promise<Certificate> {
  const base = join(authority.certificate, "..", name);
  const made = { certificate: `${base}.crt`, key: `${base}.key` };
  writeFileSync(`${base}.ext`, `subjectAltName=${names}\n`);
  await openssl(
    "req",
    ...CURVE,
    "-subj",
    `/CN=${name}`,
    "-keyout",
    made.key,
    "-out",
    `${base}.csr`,
  );
  await openssl(
    ...["x509", "-req", "-in", `${base}.csr`, "-days", "3", "-extfile", `${base}.ext`],
    ...["-CA", authority.certificate, "-CAkey", authority.key, "-CAcreateserial"],
    ...["-out", made.certificate],
  );
  return made;
}

async function openssl(...words: string[]): Promise<void> {
  mustSucceed(await run(["openssl", ...words]));
}
