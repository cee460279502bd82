import * as vscode from 'vscode';
import type { ConfigurationMiddleware } from 'vscode-languageclient/node';
import * as interpreter from './interpreter';

/**
 * What a person set, as the server asks for it. Defaults of the settings page are left out, so that the
 * environment, the user's file and pyproject.toml count where nothing was set here.
 */
export function explicit(keys: readonly string[], resource?: vscode.Uri): Record<string, unknown> {
  const configuration = vscode.workspace.getConfiguration('soa', resource ?? null);
  const set: Record<string, unknown> = {};
  for (const key of keys) {
    const found = configuration.inspect(key);
    const values = [found?.globalValue, found?.workspaceValue, found?.workspaceFolderValue];
    if (values.some(value => value !== undefined)) set[key] = configuration.get(key);
  }
  return set;
}

/** Answers `workspace/configuration`: our section as set, and the selected interpreter in that of Python. */
export function answers(keys: readonly string[]): NonNullable<ConfigurationMiddleware['configuration']> {
  return async (params, token, next) => {
    const given = await next(params, token);
    const known = Array.isArray(given) ? given : [];
    return Promise.all(
      params.items.map(async (item, index) => {
        const resource = item.scopeUri ? vscode.Uri.parse(item.scopeUri) : undefined;
        if (item.section === 'soa') return explicit(keys, resource);
        if (item.section !== 'python') return known[index] ?? null;
        const selected = await interpreter.selected(resource);
        return { ...(known[index] as object | null), ...(selected ? { pythonPath: selected } : {}) };
      }),
    );
  };
}

/** The keys that the manifest declares, without the section. */
export function declared(manifest: { contributes?: { configuration?: { properties?: object } } }): string[] {
  return Object.keys(manifest.contributes?.configuration?.properties ?? {}).map(key => key.replace(/^soa\./, ''));
}
