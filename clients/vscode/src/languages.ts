// Which languages get ghost text and next edits: the rules that the language server follows. Pure: no VS Code in here.

export type Languages = Readonly<Record<string, boolean>>;

/** Whether documents in `language` get ghost text. */
export function completes(languages: Languages, language: string): boolean {
  return languages[language] ?? languages["*"] ?? true;
}

/** `languages` with the other answer for `language`. */
export function toggled(languages: Languages, language: string): Languages {
  return { ...languages, [language]: !completes(languages, language) };
}

/** Whether next edits are proposed to a user who is in a document in `language`. */
export function proposes(languages: Languages, language: string): boolean {
  return languages[language] ?? languages["*"] ?? false;
}
