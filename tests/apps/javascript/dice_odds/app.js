// The odds of a throw of dice such as "2d6+1d4-1". Names: throwText, atLeast.
class DiceError extends Error {}

function parse(text) {
  const terms = text.replaceAll(" ", "").match(/[+-]?(\d*d\d+|\d+)/gi);
  if (!terms || terms.join("") !== text.replaceAll(" ", "")) throw new DiceError(`cannot read "${text}"`);
  return terms.map((term) => {
    const { sign, count, sides, fixed } = /^(?<sign>[+-]?)(?:(?<count>\d*)d(?<sides>\d+)|(?<fixed>\d+))$/i.exec(term).groups;
    const factor = sign === "-" ? -1 : 1;
    if (fixed !== undefined) return { factor, fixed: Number(fixed) };
    const dice = { factor, count: Number(count || 1), sides: Number(sides) };
    if (dice.sides < 1 || dice.sides > 100 || dice.count > 50) throw new DiceError(`too many dice in "${term}"`);
    return dice;
  });
}

// sum -> number of ways, exactly
function combine(ways, outcomes) {
  const result = new Map();
  for (const [sum, count] of ways) {
    for (const outcome of outcomes) result.set(sum + outcome, (result.get(sum + outcome) ?? 0n) + count);
  }
  return result;
}

function distribution(terms) {
  let ways = new Map([[0, 1n]]);
  for (const { factor, count, sides, fixed } of terms) {
    if (fixed !== undefined) {
      ways = combine(ways, [factor * fixed]);
      continue;
    }
    const faces = Array.from({ length: sides }, (_, face) => factor * (face + 1));
    for (let die = 0; die < count; die++) ways = combine(ways, faces);
  }
  return new Map([...ways].sort(([a], [b]) => a - b));
}

function summary(text, goal) {
  const ways = distribution(parse(text));
  const total = [...ways.values()].reduce((sum, count) => sum + count, 0n);
  const share = (count) => Number((count * 1_000_000n) / total) / 1_000_000;
  const successes = [...ways].filter(([sum]) => sum >= goal).reduce((sum, [, count]) => sum + count, 0n);
  const mean = [...ways].reduce((sum, [value, count]) => sum + value * (Number(count) / Number(total)), 0);
  const sums = [...ways.keys()];
  return { total, min: sums[0], max: sums.at(-1), mean: Number(mean.toFixed(4)), chance: share(successes), ways };
}

let answer;
try {
  answer = summary(throwText, atLeast);
} catch (error) {
  if (!(error instanceof DiceError)) throw error;
  answer = { error: error.message };
}
answer;
