/** Executes templates on plain data: objects, lists, texts, numbers. Pure. */
import { FUNCTIONS, indexOf, isTrue, printValue } from "./functions.ts";
import { type Expression, malformed, type Node, type Pipe } from "./syntax.ts";

type Scope = {
  readonly dot: unknown;
  readonly root: unknown;
  readonly variables: Map<string, unknown>;
};

/**
 * The text that a template makes of some data.
 * @throws TareError `bad_input` for a field that the data do not have, or a function that there is not
 */
export function executeTemplate(nodes: readonly Node[], data: unknown): string {
  const scope: Scope = { dot: data, root: data, variables: new Map([["", data]]) };
  return nodes.map((node) => executeNode(node, scope)).join("");
}

function executeNode(node: Node, scope: Scope): string {
  switch (node.kind) {
    case "text":
      return node.text;
    case "print": {
      const value = evaluatePipe(node.pipe, scope);
      return node.pipe.declares.length > 0 ? "" : printValue(value);
    }
    case "if":
      return executeBranch(node, scope, scope.dot);
    case "with":
      return executeBranch(node, scope, undefined);
    case "range":
      return executeRange(node, scope);
  }
}

type Block = Extract<Node, { readonly body: readonly Node[] }>;

/** `if` keeps the dot, `with` makes it the value. */
function executeBranch(node: Block, scope: Scope, kept: unknown): string {
  const inner = { ...scope, variables: new Map(scope.variables) };
  const value = evaluatePipe(node.pipe, inner);
  const dot = node.kind === "with" ? value : kept;
  return isTrue(value)
    ? executeAll(node.body, { ...inner, dot })
    : executeAll(node.otherwise, { ...inner, dot: scope.dot });
}

function executeRange(node: Block, scope: Scope): string {
  const value = evaluatePipe({ ...node.pipe, declares: [] }, scope);
  const pairs = pairsOf(value);
  if (pairs.length === 0) return executeAll(node.otherwise, scope);
  const [first, second] = node.pipe.declares;
  return pairs
    .map(([key, each]) => {
      const variables = new Map(scope.variables);
      if (first !== undefined) variables.set(first, second === undefined ? each : key);
      if (second !== undefined) variables.set(second, each);
      return executeAll(node.body, { ...scope, dot: each, variables });
    })
    .join("");
}

/** Of a map by its keys, in their order, as in Go. */
function pairsOf(value: unknown): (readonly [unknown, unknown])[] {
  if (Array.isArray(value)) return value.map((each, index) => [index, each]);
  if (typeof value !== "object" || value === null) {
    if (value === undefined || value === null) return [];
    throw malformed(`range has nothing to go over in ${printValue(value)}`);
  }
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

function executeAll(nodes: readonly Node[], scope: Scope): string {
  return nodes.map((node) => executeNode(node, scope)).join("");
}

function evaluatePipe(pipe: Pipe, scope: Scope): unknown {
  let value: unknown;
  for (const [index, command] of pipe.commands.entries()) {
    value = evaluateCommand(command, scope, index === 0 ? [] : [value]);
  }
  const [name] = pipe.declares;
  if (name !== undefined) scope.variables.set(name, value);
  return value;
}

function evaluateCommand(
  [first, ...others]: readonly Expression[],
  scope: Scope,
  piped: readonly unknown[],
): unknown {
  if (first === undefined) return undefined;
  if (first.kind !== "function") {
    const value = evaluate(first, scope);
    if (typeof value === "function") return value(...args(others, scope), ...piped);
    if (others.length + piped.length > 0) throw malformed("only functions take arguments");
    return value;
  }
  const call = FUNCTIONS.get(first.name);
  if (call === undefined) throw malformed(`there is no function "${first.name}"`);
  return call(...args(others, scope), ...piped);
}

function args(expressions: readonly Expression[], scope: Scope): unknown[] {
  return expressions.map((each) => evaluate(each, scope));
}

function evaluate(expression: Expression, scope: Scope): unknown {
  switch (expression.kind) {
    case "literal":
      return expression.value;
    case "function":
      return evaluateCommand([expression], scope, []);
    case "group":
      return fieldOf(evaluatePipe(expression.pipe, scope), expression.path, scope.root);
    case "field":
      return fieldOf(scope.dot, expression.path, scope.root);
    case "variable": {
      const { name, path } = expression;
      if (!scope.variables.has(name)) throw malformed(`there is no variable "$${name}"`);
      return fieldOf(scope.variables.get(name), path, scope.root);
    }
  }
}

/** A misspelt field of the data themselves is an error; a map in them may lack a key. */
function fieldOf(value: unknown, path: readonly string[], root: unknown): unknown {
  return path.reduce<unknown>((from, name) => {
    const isKnown = typeof from === "object" && from !== null && Object.hasOwn(from, name);
    if (!isKnown && from === root) {
      const names = Object.keys(Object(root)).join(", ");
      throw malformed(`there is no field "${name}"; there are ${names}`);
    }
    return isKnown ? indexOf(from, name) : undefined;
  }, value);
}
