import type { Agent, Job } from './jobs';
import { nameOf, tokens } from './jobs';
import type { Tally, Usage } from './protocol';

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

export function short(number: number): string {
  return number >= 1000 ? `${(number / 1000).toFixed(1)}k` : String(number);
}

export function tally(tests: Tally): string {
  return `${tests.passed}/${tests.passed + tests.failed}`;
}

export function spent(usage: Usage | undefined): string {
  return usage?.calls ? sum(usage.calls, tokens(usage), usage.costUsd) : '';
}

export function sum(calls: number, all: number, costUsd = 0): string {
  return `${count(calls, 'call')}, ${short(all)} tokens${costUsd ? `, $${costUsd.toFixed(2)}` : ''}`;
}

const KINDS: Record<string, string> = { runTests: 'tests of ', stubs: 'stubs of ', implementFile: 'stubs in ' };

export function jobLabel(job: Job): string {
  return (KINDS[job.kind] ?? '') + nameOf(job.target);
}

/** Beside a job's name: its tests, agents and how it ended. */
export function jobDetail(job: Job): string {
  const tests = job.tests ? [`${tally(job.tests.after)} tests`] : [];
  const agents = job.count ? [count(job.count, 'agent')] : [];
  if (job.state === 'running') return job.progress;
  const ends = job.state === 'done' ? (job.verdict === 'passed' || job.kind === 'runTests' ? '' : (job.verdict ?? '')) : job.state;
  return [...tests, ...agents, ends].filter(Boolean).join(' · ');
}

/** Beside an agent's name: her step while she works, her result when she has one. */
export function agentDetail(agent: Agent): string {
  const role = agent.role ? agent.role[0]?.toUpperCase() + agent.role.slice(1) : '';
  const tests = agent.tests ? `${tally(agent.tests)} tests` : '';
  const doing = { asking: agent.step ?? 'asking', testing: 'testing', waiting: 'waiting', done: '', failed: 'failed', abstained: 'abstained', dropped: 'dropped' };
  return [doing[agent.state], tests, agent.usage?.calls ? count(agent.usage.calls, 'call') : '', role].filter(Boolean).join(' · ');
}

export function agentTooltip(agent: Agent): string {
  const lines = [`**${nameOf(agent.function ?? agent.agentId)}** ${agent.role ?? ''}`, agent.function ?? '', `${agent.step ?? ''} ${agent.state}`.trim()];
  if (agent.tests) lines.push(`${agent.tests.passed} tests pass, ${agent.tests.failed} fail`);
  if (agent.usage) lines.push(spent(agent.usage));
  return lines.filter(Boolean).join('\n\n');
}
