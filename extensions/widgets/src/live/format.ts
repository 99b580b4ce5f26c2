const SHORT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });
const WHOLE = new Intl.NumberFormat('en-US');

/** 1,234,567 */
export const whole = (value: number): string => WHOLE.format(value);

/** 1.23M */
export const short = (value: number): string => SHORT.format(value);

/** Events in a second, as one would say it. */
export const rate = (value: number): string => `${value > 0 && value < 10 ? value.toFixed(1) : short(Math.round(value))}/s`;

/** Milliseconds with as many places as matter. */
export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) {
    return '';
  }
  if (value === 0) {
    return '0';
  }
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2);
}

/** 1:02:03 */
export function clock(seconds: number): string {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const two = (value: number): string => String(value).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const PLACES = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 4 });

/** A number in full, with as many places as matter. */
export const value = (number: number): string => (Number.isInteger(number) || Math.abs(number) >= 10_000 ? WHOLE.format(Math.round(number)) : PLACES.format(number));

/** 12 s, 5 min, 3 h, 81 d */
export function span(seconds: number): string {
  const [size, unit] = seconds < 120 ? [1, 's'] : seconds < 7200 ? [60, 'min'] : seconds < 172_800 ? [3600, 'h'] : [86_400, 'd'];
  return `${short(Math.round(seconds / size))} ${unit}`;
}
