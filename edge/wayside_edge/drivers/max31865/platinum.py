"""Temperature of a platinum resistance thermometer.

Source: IEC 60751:2008, section 4: the Callendar-Van Dusen equation R(t) = R0 (1 + At + Bt² + C(t - 100 °C)t³), with C
only below 0 °C, from -200 °C to 850 °C.
"""

from math import sqrt

A, B, C = 3.9083e-3, -5.775e-7, -4.183e-12
MIN_C, MAX_C = -200.0, 850.0


def ratio(celsius: float) -> float:
    """Resistance at `celsius` as a multiple of that at 0 °C."""
    cubic = C * (celsius - 100) * celsius**3 if celsius < 0 else 0.0
    return 1 + A * celsius + B * celsius**2 + cubic


def temperature(resistance_ratio: float) -> float:
    """The temperature in °C at which the resistance is `resistance_ratio` times that at 0 °C.

    Above 0 °C it solves the equation. Below, where it is of fourth order, it takes Newton's steps from that solution:
    two leave less than 1e-6 °C at -200 °C; there are four. Where the equation has no solution (a ratio over 7.6), the
    result is the top of its parabola, 3384 °C.
    """
    celsius = (-A + sqrt(max(A * A - 4 * B * (1 - resistance_ratio), 0.0))) / (2 * B)
    if resistance_ratio >= 1:
        return celsius
    for _ in range(4):
        slope = A + 2 * B * celsius + C * (4 * celsius - 300) * celsius**2
        celsius -= (ratio(celsius) - resistance_ratio) / slope
    return celsius
