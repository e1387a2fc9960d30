// The AssemblyScript guest. Like the C one it finds "name" and greets it.

@external("ruedo", "input_read")
declare function inputRead(at: usize, cap: i32): i32;

@external("ruedo", "output_write")
declare function outputWrite(at: usize, n: i32): i32;

const input = memory.data(4096);

export function ruedo_abi_1(): void {}

export function ruedo_call(): i32 {
  const text = String.UTF8.decodeUnsafe(input, inputRead(input, 4096));
  const key = text.indexOf('"name":"');
  let answer = '{"error":"bad"}';
  if (key >= 0) {
    answer = '{"greeting":"Hello, ' + text.substring(key + 8, text.indexOf('"', key + 8)) + '!"}';
  }
  const out = String.UTF8.encode(answer);
  outputWrite(changetype<usize>(out), out.byteLength);
  return 0;
}

// abort is what the standard library calls when something is wrong.
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  unreachable();
}
