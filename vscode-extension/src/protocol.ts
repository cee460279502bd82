/** What the server sends beside the Language Server Protocol; names and members are those of its public interface. */

export interface Tally {
  passed: number;
  failed: number;
}

export interface Usage {
  calls: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
  costUsd?: number;
}

export interface JobParams {
  jobId: string;
  kind: string;
  target: string;
  state: 'running' | 'done' | 'failed' | 'refused' | 'cancelled';
  verdict?: 'passed' | 'untested' | 'failed';
  flags?: { line: number; why: string }[];
  tests?: { before?: Tally; after: Tally };
  usage?: Usage;
  message?: string;
}

export interface AgentParams {
  jobId: string;
  agentId: string;
  parentId?: string;
  role?: string;
  function?: string;
  step?: string;
  state: 'waiting' | 'asking' | 'testing' | 'done' | 'failed' | 'abstained' | 'dropped';
  tests?: Tally;
  usage?: Usage;
}

export interface ChatParams {
  requestId: string;
  model?: string;
  messages: { role: string; content: string }[];
}

export interface ChatResult {
  text: string;
  finishReason: string;
  usage?: { inputTokens: number; outputTokens: number };
}

export interface LocalServer {
  name: string;
  baseUrl: string;
  models: string[];
}

/** One exchange of an agent with the model, or one test run of hers. */
export interface Entry {
  agentId: string;
  step: string;
  messages: { role: string; content: string }[];
  reply: string | null;
  model: string;
  report: { passed: number; failed: number; failures: { nodeid: string; message: string }[] } | null;
  problem: string;
}

export interface Trace {
  entries: Entry[];
  files: { path: string; before: string; after: string }[];
}

export const JOB = 'soa/job';
export const AGENT = 'soa/agent';
export const SECRET = 'soa/secret';
export const CHAT = 'soa/model/chat';
export const CHUNK = 'soa/model/chunk';
export const TRACE = 'soa/trace';
export const LOCAL_SERVERS = 'soa/localServers';
