import type { AgentParams, JobParams, Usage } from './protocol';

/** An agent as it was told last, and those she called into being. */
export interface Agent extends AgentParams {
  children: Agent[];
}

/** A job, with the Mothers of its targets. */
export interface Job extends JobParams {
  roots: Agent[];
  count: number;
  progress: string;
}

const WORKING: readonly Agent['state'][] = ['waiting', 'asking', 'testing'];

/** The jobs of this window as a fold over the server's notifications, newest first. */
export class Jobs {
  private readonly byId = new Map<string, Job>();
  private readonly agents = new Map<string, Agent>();

  /** The job after what is said of it now. */
  job(params: JobParams): Job {
    const before = this.byId.get(params.jobId);
    const job: Job = { roots: [], count: 0, progress: '', ...before, ...params };
    this.byId.set(params.jobId, job);
    if (job.state !== 'running') this.end(job);
    return job;
  }

  /** The agent after what is said of her now; agents of a job that is not known are none of ours. */
  agent(params: AgentParams): Agent | undefined {
    const job = this.byId.get(params.jobId);
    if (!job) return undefined;
    const key = agentKey(params.jobId, params.agentId);
    const known = this.agents.get(key);
    if (known) return Object.assign(known, params);
    const agent: Agent = { ...params, children: [] };
    this.agents.set(key, agent);
    job.count += 1;
    const mother = params.parentId === undefined ? undefined : this.agents.get(agentKey(params.jobId, params.parentId));
    (mother?.children ?? job.roots).push(agent);
    return agent;
  }

  /** What a running job does now, in one line. */
  progress(jobId: string, line: string): void {
    const job = this.byId.get(jobId);
    if (job) job.progress = line;
  }

  get(jobId: string): Job | undefined {
    return this.byId.get(jobId);
  }

  all(): Job[] {
    return [...this.byId.values()].reverse();
  }

  running(): Job[] {
    return this.all().filter(job => job.state === 'running');
  }

  mother(agent: Agent): Agent | undefined {
    return agent.parentId === undefined ? undefined : this.agents.get(agentKey(agent.jobId, agent.parentId));
  }

  /** Forget what has ended. */
  clear(): void {
    this.all().filter(job => job.state !== 'running').forEach(job => this.byId.delete(job.jobId));
    for (const [key, agent] of this.agents) if (!this.byId.has(agent.jobId)) this.agents.delete(key);
  }

  /** A server that is gone ends nothing more; what ran then has failed. */
  lost(message: string): void {
    this.running().forEach(job => this.job({ ...job, state: 'failed', message }));
  }

  /** Nobody works on when her job has ended, even if no word of her came after that. */
  private end(job: Job): void {
    for (const agent of this.agents.values()) {
      if (agent.jobId === job.jobId && WORKING.includes(agent.state)) agent.state = job.state === 'failed' ? 'failed' : 'dropped';
    }
  }
}

/** The name of the function or file that a target stands for. */
export function nameOf(target: string): string {
  const [path = '', qualname = ''] = target.split('::');
  return (qualname && qualname !== '<module>' ? qualname.split('.').at(-1) : path.split('/').at(-1))?.replace(/#.*$/, '') ?? target;
}

export function tokens(usage: Usage): number {
  return usage.inputTokens + usage.outputTokens;
}

function agentKey(jobId: string, agentId: string): string {
  return `${jobId}\n${agentId}`;
}
