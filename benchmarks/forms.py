"""Which part of the reverse process an exponential integrator should extrapolate on phase space.

Prints the root mean square error in the data of one method in four forms, from T to t_min on the
exact score of eight Gaussians, with equal steps in log-SNR. `cholesky` extrapolates the velocity's
noise as a network predicts it, `equilibrium` the difference of the score from that of the
stationary law, `noise` the noise of all phases in the frame of R (gDDIM), `data` the predicted
data. Takes less than two minutes.

    python benchmarks/forms.py [--sde cld,psld,hold]
"""

import argparse

import torch

import sgmkit
from sgmkit import SeededNoise
from sgmkit.convergence.orders import rms

STEPS = (5, 10, 20, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sde", default="cld,psld,hold")
    args = parser.parse_args()
    torch.set_num_threads(1)
    head = "  ".join(f"{f'{n} steps':>10}" for n in STEPS)
    print(f"{'process':<8}{'form':<13}{'answers':>7}  {head}   [data units]")
    with torch.inference_mode():
        for name in args.sde.split(","):
            model = sgmkit.create("model", "exact", sde=name, data="eight-gaussians")
            noise = SeededNoise(0, range(128))
            ends = torch.tensor([model.sde.horizon, model.t_min], dtype=torch.float64)
            tight = sgmkit.create("solver", "rk45", rtol=1e-8, atol=1e-8)
            goal = model.sample(128, tight, ends, noise, start="exact").u
            for form in ("cholesky", "equilibrium", "noise", "data"):
                for answers in (1, 2, 3, 4):
                    cells = []
                    for steps in STEPS:
                        solver = sgmkit.create(
                            "solver", "exponential", form=form, max_order=answers
                        )
                        grid = sgmkit.time_grid("logsnr", model.sde, steps, model.t_min)
                        u = model.sample(
                            128, solver, grid, SeededNoise(0, range(128)), start="exact"
                        ).u
                        cells.append(f"{rms((u - goal)[:, 0]):10.2g}")
                    title = name if (form, answers) == ("cholesky", 1) else ""
                    label = form if answers == 1 else ""
                    print(f"{title:<8}{label:<13}{answers:>7}  " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
