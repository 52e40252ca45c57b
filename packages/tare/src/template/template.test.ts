import { describe, expect, test } from "bun:test";
import { executeTemplate } from "./execute.ts";
import { parseTemplate } from "./syntax.ts";

const DATA = {
  Id: "sha256:abc",
  Size: 1500,
  Tags: ["a:1", "b:2"],
  None: [],
  Empty: "",
  On: true,
  Nil: null,
  Config: { Env: ["A=1", "B=2"], Labels: { "x.y": "z", k: "v" }, Cmd: null },
  Rows: [
    { Name: "one", Count: 1 },
    { Name: "two", Count: 2 },
  ],
};

const run = (text: string) => executeTemplate(parseTemplate(text), DATA);

/** What Go's text/template with Docker's functions makes of it. */
const CASES: readonly (readonly [template: string, output: string])[] = [
  ["plain", "plain"],
  ["{{.Id}}", "sha256:abc"],
  ["a {{ .Size }} b", "a 1500 b"],
  ["{{.Config.Labels.k}}", "v"],
  ["{{.Config.Labels.missing}}", "<no value>"],
  ["{{.Config.Missing.deeper}}", "<no value>"],
  ['{{index .Config.Labels "x.y"}}', "z"],
  ["{{index .Tags 1}}", "b:2"],
  ["{{.Tags}} {{.Config.Labels}} {{.Nil}}", "[a:1 b:2] map[k:v x.y:z] <nil>"],
  [
    "{{json .Tags}} {{json .Nil}} {{json .Config.Labels}}",
    '["a:1","b:2"] null {"x.y":"z","k":"v"}',
  ],
  ["{{.Tags | json}}", '["a:1","b:2"]'],
  ['{{join .Tags ", "}}', "a:1, b:2"],
  ['{{join .None ", "}}|', "|"],
  ["{{range .Tags}}<{{.}}>{{end}}", "<a:1><b:2>"],
  ["{{range .None}}x{{else}}none{{end}}", "none"],
  ["{{range $i, $t := .Tags}}{{$i}}={{$t}} {{end}}", "0=a:1 1=b:2 "],
  ["{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}};{{end}}", "k:v;x.y:z;"],
  ["{{range .Rows}}{{.Name}}{{$.Size}} {{end}}", "one1500 two1500 "],
  ["{{if .On}}yes{{else}}no{{end}}", "yes"],
  ["{{if .Empty}}yes{{else if .None}}list{{else}}no{{end}}", "no"],
  ["{{with .Config}}{{.Env}}{{end}}", "[A=1 B=2]"],
  ["{{with .Empty}}x{{else}}{{.Size}}{{end}}", "1500"],
  ["{{if and .On (gt .Size 1000)}}big{{end}}", "big"],
  ['{{if or .Empty (eq .Id "sha256:abc")}}same{{end}}', "same"],
  ["{{if not .Empty}}x{{end}}", "x"],
  ["{{len .Tags}} {{len .Id}} {{len .Config.Labels}}", "2 10 2"],
  [
    '{{printf "%s-%05d|%-6s|%q|%.2f|%x%%" .Id 42 "ab" "c" 1.5 255}}',
    'sha256:abc-00042|ab    |"c"|1.50|ff%',
  ],
  ['{{upper .Id}} {{lower `ABC`}} {{title "some words"}}', "SHA256:ABC abc Some Words"],
  ["{{truncate .Id 6}} {{slice .Id 7}} {{slice .Id 0 3}}", "sha256 abc sha"],
  ['{{pad "x" 1 2}}|', " x  |"],
  ['{{(index .Rows 1).Name}} {{(split "a,b" ",")}}', "two [a b]"],
  ["{{$x := .Size}}{{$x}}", "1500"],
  ["a  {{- .Size -}}  b", "a1500b"],
  ["{{/* a comment */}}x", "x"],
  ['{{"{{"}} {{print "a" 1 true}}', "{{ a1true"],
  ["{{println .Size}}", "1500\n"],
];

describe("a template gives what Go's gives", () => {
  for (const [template, output] of CASES) {
    test(template, () => expect(run(template)).toBe(output));
  }
});

test("what is no template is refused with a reason", () => {
  for (const [template, why] of [
    ["{{.Id", "is not closed"],
    ["{{.Missing}}", 'no field "Missing"; there are Id, Size'],
    ["{{range .Rows}}{{$.Missing}}{{end}}", 'no field "Missing"'],
    ["{{frobnicate .Id}}", 'no function "frobnicate"'],
    ["{{if .On}}x", "has no end"],
    ["{{end}}", '"end" stands alone'],
    ["{{else}}", '"else" stands alone'],
    ["{{$x}}", 'no variable "$x"'],
    ["{{}}", "a command is missing"],
    ["{{.Id | }}", "a command is missing"],
    ["{{(.Id}}", "( is not closed"],
    ["{{.Id)}}", "is not expected"],
    ["{{index .Tags 7}}", "out of a list"],
    ["{{range .Size}}{{end}}", "nothing to go over"],
    ['{{join .Id ","}}', "is no list"],
    ["{{len .Size}}", "has no length"],
    ["{{.Id .Size}}", "only functions take arguments"],
    ["{{..A}}", "an empty name"],
    ['{{"a\\q"}}', "is no string"],
    ["{{?}}", "is not understood"],
  ] as const) {
    expect([template, () => run(template)][1]).toThrow(why);
  }
});

test("a field may be a function of its argument, and is none of the data's own then", () => {
  const data = { Name: "v", Label: (key: unknown) => `<${key}>` };
  const label = (text: string) => executeTemplate(parseTemplate(text), data);
  expect(label('{{.Name}} {{.Label "a.b"}} {{"x" | .Label}}')).toBe("v <a.b> <x>");
  expect(label("{{.}} {{json .}}")).toBe('map[Name:v] {"Name":"v"}');
});

test("keys of a prototype are none of the data's", () => {
  expect(run("{{.Config.constructor}}")).toBe("<no value>");
  expect(() => run("{{.constructor}}")).toThrow("no field");
});
