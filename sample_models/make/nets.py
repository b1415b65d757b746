"""The four networks, in PyTorch. Input: NCHW, already preprocessed."""
import torch
import torch.nn as nn
import torch.nn.functional as F
from recipes import MOBILE


def cbr(i, o, k=1, s=1, p=None):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2 if p is None else p, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Same2(nn.Module):
    """TensorFlow's SAME for a 3x3 kernel with stride 2 on an even size: one row at the bottom, one column at the right."""
    def forward(self, x):
        return F.pad(x, (0, 1, 0, 1))


class Inverted(nn.Module):
    def __init__(self, i, o, s, t=4):
        super().__init__()
        m = i * t
        self.exp, self.bn1 = nn.Conv2d(i, m, 1, bias=False), nn.BatchNorm2d(m)
        self.pad = Same2() if s == 2 else nn.Identity()
        self.dw, self.bn2 = nn.Conv2d(m, m, 3, s, 0 if s == 2 else 1, groups=m, bias=False), nn.BatchNorm2d(m)
        self.pw, self.bn3 = nn.Conv2d(m, o, 1, bias=False), nn.BatchNorm2d(o)
        self.skip = s == 1 and i == o

    def forward(self, x):
        y = F.relu6(self.bn1(self.exp(x)))
        y = F.relu6(self.bn2(self.dw(self.pad(y))))
        y = self.bn3(self.pw(y))
        return x + y if self.skip else y


class MobileNet(nn.Module):
    """Inverted residuals, depthwise, ReLU6, SAME padding; the classifier is a 1x1 convolution as in Keras' MobileNet."""
    def __init__(self):
        super().__init__()
        self.pad = Same2()
        self.stem, self.bn = nn.Conv2d(3, 20, 3, 2, 0, bias=False), nn.BatchNorm2d(20)
        self.blocks = nn.Sequential(*[Inverted(*b) for b in MOBILE])
        self.head, self.bnh = nn.Conv2d(56, 160, 1, bias=False), nn.BatchNorm2d(160)
        self.classes = nn.Conv2d(160, 10, 1)

    def forward(self, x):
        x = F.relu6(self.bn(self.stem(self.pad(x))))
        x = F.relu6(self.bnh(self.head(self.blocks(x))))
        if isinstance(self.classes, nn.Linear):
            return self.classes(x.mean((2, 3)))
        return self.classes(x.mean((2, 3), keepdim=True)).flatten(1)

    def as_linear(self):
        """The same network with a fully connected classifier, as PyTorch's MobileNetV2 has it; it is exported like this."""
        c, self.classes = self.classes, nn.Linear(160, 10)
        self.classes.weight.data, self.classes.bias.data = c.weight.data.flatten(1), c.bias.data
        return self


class Basic(nn.Module):
    def __init__(self, i, o, s):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.down = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o)) if s > 1 or i != o else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.down(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.Sequential(Basic(16, 20, 1), Basic(20, 40, 2), Basic(40, 40, 1), Basic(40, 64, 2))
        self.avg = nn.AvgPool2d(2)
        self.fc = nn.Linear(64 * 4, 10)

    def forward(self, x):
        x = self.layers(self.pool(F.relu(self.bn1(self.conv1(x)))))
        return self.fc(self.avg(x).flatten(1))


class Mixed(nn.Module):
    def __init__(self, i, a, b, c, d):
        super().__init__()
        self.a = cbr(i, a)
        self.b = nn.Sequential(cbr(i, b[0]), cbr(b[0], b[1], 3))
        self.c = nn.Sequential(cbr(i, c[0]), cbr(c[0], c[1], 3), cbr(c[1], c[2], 3))
        self.pool = nn.AvgPool2d(3, 1, 1)                     # counts the padding, as PyTorch does
        self.d = cbr(i, d)

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(self.pool(x))], 1)


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(cbr(3, 24, 3, 2), cbr(24, 32, 3))
        self.pool1 = nn.MaxPool2d(3, 2, 1)
        self.m1 = Mixed(32, 24, (24, 32), (12, 16, 16), 16)
        self.m2 = Mixed(88, 24, (32, 40), (16, 24, 24), 16)
        self.pool2 = nn.MaxPool2d(3, 2, 1)
        self.m3 = Mixed(104, 32, (32, 48), (24, 32, 32), 24)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(136, 10)

    def forward(self, x):
        x = self.m2(self.m1(self.pool1(self.stem(x))))
        return self.fc(self.gap(self.m3(self.pool2(x))).flatten(1))


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.h, self.s = heads, (d // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        n, d = x.shape[1], x.shape[2]
        q, k, v = self.qkv(x).reshape(-1, n, 3, self.h, d // self.h).permute(2, 0, 3, 1, 4).unbind(0)
        a = ((q * self.s) @ k.transpose(-2, -1)).softmax(-1)
        return self.proj((a @ v).transpose(1, 2).reshape(-1, n, d))


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.n1, self.att = nn.LayerNorm(d), Attention(d, heads)
        self.n2, self.fc1, self.fc2 = nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.Linear(2 * d, d)

    def forward(self, x):
        x = x + self.att(self.n1(x))
        return x + self.fc2(F.gelu(self.fc1(self.n2(x))))


class ViT(nn.Module):
    """Convolutional stem to 4x4 tokens, learnt positions, three blocks, mean over the tokens."""
    def __init__(self, d=64, heads=4, depth=3):
        super().__init__()
        self.stem = nn.Sequential(cbr(3, 24, 3, 2), cbr(24, 48, 3, 2), nn.Conv2d(48, d, 3, 2, 1))
        self.pos = nn.Parameter(torch.randn(1, 16, d) * 0.02)
        self.blocks = nn.Sequential(*[Block(d, heads) for _ in range(depth)])
        self.norm, self.fc = nn.LayerNorm(d), nn.Linear(d, 10)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2) + self.pos
        return self.fc(self.norm(self.blocks(x)).mean(1))


NETS = {"mobilenet": MobileNet, "resnet": ResNet, "inception": Inception, "vit": ViT}
