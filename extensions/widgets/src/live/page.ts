/** What a page of Jupyter's says about its server; null where there is none, as in other editors. */
export interface Server {
  baseUrl: string;
  token: string;
}

export function server(): Server | null {
  const text = document.getElementById('jupyter-config-data')?.textContent;
  try {
    const { baseUrl, token } = JSON.parse(text ?? '') as { baseUrl?: unknown; token?: unknown };
    return typeof baseUrl === 'string' ? { baseUrl, token: typeof token === 'string' ? token : '' } : null;
  } catch {
    return null;
  }
}

const API = 'workbench/api/';

export function socketAddress({ baseUrl, token }: Server): string {
  const address = new URL(baseUrl + API + 'live', location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  if (token) {
    address.searchParams.set('token', token);
  }
  return address.href;
}

/** Asks the server's interface. Rejects with its sentence. */
export async function ask(there: Server, method: string, path: string, body?: unknown): Promise<unknown> {
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  const xsrf = /(?:^|; )_xsrf=([^;]+)/.exec(document.cookie)?.[1];
  if (xsrf) {
    headers['X-XSRFToken'] = xsrf;
  }
  if (there.token) {
    headers.Authorization = `token ${there.token}`;
  }
  const answer = await fetch(new URL(there.baseUrl + API + path, location.href), {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body)
  });
  const said = (await answer.json().catch(() => ({}))) as { message?: string };
  if (!answer.ok) {
    throw new Error(said.message ?? `${answer.status} ${answer.statusText}`);
  }
  return said;
}
