export interface Question {
  readonly text: string;
  readonly options: readonly string[];
  readonly correct: number;
}

export const QUESTIONS: readonly Question[] = [
  { text: "What is 0.1 + 0.2 === 0.3?", options: ["true", "false"], correct: 1 },
  { text: "What is typeof null?", options: ["null", "undefined", "object"], correct: 2 },
  { text: "What is [] + []?", options: ["an empty string", "an empty array", "0"], correct: 0 },
] as const;
