// principal, rate (percent a year), months, start ("2024-01-31")
class Loan {
  #principal;
  #rate;

  constructor({ principal, rate, months }) {
    if (!(principal > 0)) throw new RangeError("the principal must be positive");
    if (!Number.isInteger(months) || months < 1 || months > 480) throw new RangeError("months go from 1 to 480");
    this.#principal = Math.round(principal * 100);
    this.#rate = rate / 100 / 12;
    this.months = months;
  }

  get payment() {
    const [p, r, n] = [this.#principal, this.#rate, this.months];
    return r === 0 ? Math.ceil(p / n) : Math.ceil((p * r) / (1 - (1 + r) ** -n));
  }

  *[Symbol.iterator]() {
    let left = this.#principal;
    for (let month = 1; left > 0; month++) {
      const interest = Math.round(left * this.#rate);
      const paid = Math.min(this.payment, left + interest);
      left -= paid - interest;
      yield { month, paid, interest, left };
    }
  }
}

function addMonths(text, count) {
  const { y, m, d } = /^(?<y>\d{4})-(?<m>\d\d)-(?<d>\d\d)$/.exec(text)?.groups ?? {};
  if (!y) throw new TypeError(`${text} is not a date`);
  const last = new Date(Date.UTC(+y, +m - 1 + count + 1, 0)).getUTCDate();
  return new Date(Date.UTC(+y, +m - 1 + count, Math.min(+d, last)));
}

const euros = (cents) => `${(cents / 100).toFixed(2).replace(/\B(?=(\d{3})+(?!\d))/g, ",")} €`;

const first = typeof start === "undefined" ? "2024-01-31" : start;
const given = typeof principal === "undefined" ? { principal: 1000, rate: 12, months: 3 } : { principal, rate, months };
const loan = new Loan(given);
const rows = [...loan];
const total = rows.reduce((sum, { interest }) => sum + interest, 0);
console.log(`${rows.length} payments of ${euros(loan.payment)}`);

({
  payment: euros(loan.payment),
  interest: euros(total),
  payments: rows.length,
  dates: rows.slice(0, 3).map(({ month }) => addMonths(first, month)),
  left: new Map(rows.map(({ month, left }) => [month, left / 100])),
});
